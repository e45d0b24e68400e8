"""Which statements change the session: what they set would be there for the next request too."""

import re

# Statements by their first six characters that end with themselves or with their transaction.
_PLAIN = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "SAVEPO", "RELEAS", "ROLLBA"})

# The same for those that are written by hand.
_HARMLESS = re.compile(
    r"\s*(SELECT|INSERT|UPDATE|DELETE|MERGE|WITH|VALUES|TABLE|SAVEPOINT|RELEASE|ROLLBACK|COMMIT|END"
    r"|BEGIN|START|ABORT|EXPLAIN|SHOW|LOCK|TRUNCATE|NOTIFY|COPY|FETCH|MOVE|CLOSE|ANALYZE|REFRESH"
    r"|SET\s+(LOCAL|TRANSACTION|CONSTRAINTS)|CREATE\s+(UNIQUE\s+)?(TABLE|INDEX)|ALTER\s+TABLE"
    r"|DROP\s+(TABLE|INDEX))\b",
    re.IGNORECASE,
)
_SETTING = re.compile(r"set_config\s*\(", re.IGNORECASE)
_LOCAL_SETTING = re.compile(r"set_config\s*\([^()]*,\s*true\s*\)", re.IGNORECASE)


def changes_session(sql: object) -> bool:
    """Whether `sql` may leave something behind in its session. In doubt it does.

    A stored function that calls set_config or takes an advisory lock is not seen.
    """
    if not isinstance(sql, str):
        return True  # psycopg.sql objects and bytes: their text is not known here
    if sql[:6] not in _PLAIN and not _HARMLESS.match(sql):
        return True
    if "advisory_lock" in sql or "ADVISORY_LOCK" in sql:
        return True
    if "set_config" in sql or "SET_CONFIG" in sql:
        return len(_SETTING.findall(sql)) != len(_LOCAL_SETTING.findall(sql))
    return False
