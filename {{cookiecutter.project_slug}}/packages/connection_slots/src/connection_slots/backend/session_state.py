"""Tell which statements leave something in the session that a later statement could see.

The text of a statement is all that is looked at: in doubt it changes the session. What a stored
function does inside is not seen: see "What cannot be seen" in the README.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from enum import Flag, auto
from functools import lru_cache
from typing import Any, NamedTuple


class Effect(Flag):
    """The ways in which a statement can concern the session."""

    NONE = 0
    # It changes the session. The slot stays with its owner, and the connection is not reused.
    CHANGES = auto()
    # It uses a sequence explicitly: currval() has to find the same session later.
    KEEPS = auto()
    # It may advance a sequence that currval() or lastval() reads afterwards.
    ADVANCES_SEQUENCE = auto()
    # It does so without RETURNING, so that currval() or lastval() is likely to follow.
    READ_SOON = auto()
    # It calls currval() or lastval(), which answer for this session only.
    READS_SEQUENCE = auto()
    # It changes statement_timeout, so that the watchdog does not know it any more.
    SETS_TIMEOUT = auto()


class Analysis(NamedTuple):
    """The effect of a statement, and the parameters that decide if it is only local."""

    effect: Effect
    # Positions or names of set_config()'s third argument: CHANGES applies unless all are true.
    local_if: tuple[int | str, ...] = ()

    def effect_with(self, parameters: object) -> Effect:
        """Return the effect with these parameters."""
        if all(_is_true(parameters, key) for key in self.local_if):
            return self.effect
        return self.effect | Effect.CHANGES


NO_EFFECT = Analysis(Effect.NONE)
_LONGEST_CACHED = 10_000  # characters
_MOST_CALLS = 50  # of set_config() with a parameter; a statement with more changes the session

# Where something begins that is not code. All but the second and the last match it to its end.
_OPENS = re.compile(
    r"""--[^\r\n]*
    | /\*
    | (?<![\w$])E'(?:[^'\\]|\\.|'')*+'?
    | '[^']*+(?:''[^']*+)*+'?
    | "[^"]*"?
    | (?<![\w$])\$(?:[^\W\d]\w*)?\$
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_HAS_LITERAL = re.compile(r"['$]|--|/\*")
_COMMENT_MARK = re.compile(r"/\*|\*/")  # comments nest in PostgreSQL
_IDENTIFIER = re.compile(r'"[^"]*"?')
_SPACE = re.compile(r"[ \t\n\r\f\v]{2,}|[\t\n\r\f\v]")

# The patterns below see code in upper case, without literals, with single spaces.
# Statements that end with themselves or with their transaction, by their first word.
_HARMLESS = re.compile(
    r"(?:ABORT|ALTER|ANALYZE|ANALYSE|BEGIN|CALL|CHECKPOINT|CLOSE|CLUSTER|COMMENT|COMMIT|COPY|"
    r"CREATE|DECLARE|DELETE|DO|DROP|END|EXECUTE|EXPLAIN|FETCH|GRANT|IMPORT|INSERT|LOCK|"
    r"MERGE|MOVE|NOTIFY|PREPARE|REASSIGN|REFRESH|REINDEX|RELEASE|REVOKE|ROLLBACK|SAVEPOINT|"
    r"SECURITY|SELECT|SET|SHOW|START|TABLE|TRUNCATE|UPDATE|VACUUM|VALUES|WITH)\b"
)
# Of those, the forms that change the session after all.
_CHANGING = re.compile(
    r"""SET\b(?![ ](LOCAL|TRANSACTION|CONSTRAINTS)[ ][^.=])
    | PREPARE\b(?![ ]TRANSACTION[ ]?')
    | DECLARE\b.*\bWITH[ ]HOLD\b
    """,
    re.VERBOSE,
)
_TEMPORARY = re.compile(
    r"(?<!INSERT )(?<!MERGE )\b(INTO|CREATE( OR REPLACE)?)( LOCAL| GLOBAL)? TEMP(ORARY)?\b"
)
# A body of DO that is not looked into: not in dollar quotes, or not in PL/pgSQL.
_UNKNOWN_BLOCK = re.compile(r"DO\b(?!.*\$)|DO\b.*\bLANGUAGE (?!PLPGSQL\b)")
# Where a statement may begin in PL/pgSQL, and what changes the session there besides. The text
# that EXECUTE runs is not known.
_BLOCK_STARTS = re.compile(r";|>>|\b(?:BEGIN|DECLARE|THEN|ELSE|LOOP)\b")
_CHANGING_IN_BLOCK = re.compile(r"^(DEALLOCATE|DISCARD|LISTEN|LOAD|RESET|UNLISTEN)\b|\bEXECUTE\b")
_COPY_FROM = re.compile(r"COPY (?!\().*\bFROM\b")
_RETURNING = re.compile(r"\bRETURNING\b")

# The patterns below see code in lower case, with quoted identifiers.
_TEMPORARY_SCHEMA = re.compile(r"pg_temp(_\d+)?\b")
_SESSION_FUNCTION = re.compile(
    r"\b(pg_(try_)?advisory_lock(_shared)?|setseed|dblink_connect(_u)?|pg_backup_start|"
    r"pg_(create|copy)_(logical|physical)_replication_slot|pg_replication_origin_session_\w+|"
    r'(query|cursor)_to_xml\w*)"?\s*\('
)
_SEQUENCE_FUNCTION = re.compile(r'\b(?:nextval|setval|(currval|lastval))"?\s*\(')
_SET_CONFIG = re.compile(r'\bset_config"?\s*\(', re.IGNORECASE)
_DELIMITER = re.compile(r'"[^"]*"|[(),]')
_PLACEHOLDER = re.compile(r"%(?:%|\((\w+)\)[sbt]|[sbt])")
_TRUE_WORDS = frozenset({"true", "t", "on", "yes", "1"})


def analysis_of(sql: str) -> Analysis:
    """Return the effect of the statements in `sql`. In doubt they change the session."""
    return _cached(sql) if len(sql) <= _LONGEST_CACHED else analyse(sql)


def effect_of(sql: str, parameters: object = None) -> Effect:
    """Return the effect of `sql` with these parameters."""
    return analysis_of(sql).effect_with(parameters)


def analyse(sql: str) -> Analysis:
    """Return the effect of the statements in `sql`, without its parameters."""
    code = _code(sql)
    statements = list(_statements(code))
    changes = any(map(_changes, statements)) or 'U&"' in code.upper()  # escapes hide a name
    effect = Effect.NONE
    for statement in statements:
        effect |= _sequence_effect(statement)
    if any(statement.startswith("DO") for statement in statements):
        code = _code(sql, with_blocks=True)
        changes = changes or any(map(_changes_in_block, _BLOCK_STARTS.split(_plain(code))))
    lower = code.lower()
    local_if: list[int | str] = []
    for setting, local in _set_config_calls(sql, code) if "set_config" in lower else ():
        if not setting.startswith("'"):  # it is not known which one
            effect |= Effect.SETS_TIMEOUT
        if len(local_if) == _MOST_CALLS:
            changes = True
            break
        if local is None:
            changes = True
        elif local is not True:
            local_if.append(local)
    everything = sql.lower()
    if changes or _names_session_state(lower, everything):
        effect |= Effect.CHANGES
    if "statement_timeout" in everything or _updates_settings(lower):
        effect |= Effect.SETS_TIMEOUT
    if functions := set(_SEQUENCE_FUNCTION.findall(lower)):
        effect |= Effect.KEEPS | Effect.ADVANCES_SEQUENCE
        if any(functions):
            effect = effect & ~Effect.ADVANCES_SEQUENCE | Effect.READS_SEQUENCE
    return Analysis(effect, tuple(local_if)) if effect or local_if else NO_EFFECT


_cached = lru_cache(maxsize=4096)(analyse)


def _changes(statement: str) -> bool:
    if _HARMLESS.match(statement) is None or _UNKNOWN_BLOCK.match(statement):
        return True
    return _has_changing_form(statement)


def _changes_in_block(statement: str) -> bool:
    statement = statement.strip()
    return _has_changing_form(statement) or _CHANGING_IN_BLOCK.search(statement) is not None


def _has_changing_form(statement: str) -> bool:
    if "TEMP" in statement and "ON COMMIT DROP" not in statement and _TEMPORARY.search(statement):
        return True
    return _CHANGING.match(statement) is not None


def _sequence_effect(statement: str) -> Effect:
    """Return how a statement that inserts concerns currval()."""
    inserts = statement.count("INSERT INTO") + statement.count("MERGE INTO")
    if not inserts and _COPY_FROM.match(statement) is None:
        return Effect.NONE
    if inserts and inserts <= len(_RETURNING.findall(statement)):
        return Effect.ADVANCES_SEQUENCE
    return Effect.ADVANCES_SEQUENCE | Effect.READ_SOON


def _names_session_state(code: str, sql: str) -> bool:
    """Return True if lower-case `code` names a function or table that changes the session."""
    return bool(
        _TEMPORARY_SCHEMA.search(code)
        or ("search_path" in sql and "pg_temp" in sql)  # where tables are created next
        or _updates_settings(code)
        or _SESSION_FUNCTION.search(code)
    )


def _updates_settings(code: str) -> bool:
    return "pg_settings" in code and "update" in code


def _code(sql: str, *, with_blocks: bool = False) -> str:
    """Return `sql` with spaces for comments and the content of strings. Positions stay the same.

    With `with_blocks`, what stands in dollar quotes is code, between semicolons.
    """
    if not _HAS_LITERAL.search(sql):
        return sql
    parts, position = [], 0
    while match := _OPENS.search(sql, position):
        start, end = match.span()
        opening = match[0]
        parts.append(sql[position:start])
        if opening[0] == '"':
            parts.append(opening)
        elif opening[0] == "$":
            close = sql.find(opening, end)
            body = sql[end : close if close >= 0 else None]
            begins = ";".ljust(len(opening)) + _code(body) + ";" if with_blocks else "$$"
            end = min(end + len(body) + len(opening), len(sql))
            parts.append(begins.ljust(end - start))
        elif opening[0] in "-/":
            end = end if opening[0] == "-" else _end_of_comment(sql, start)
            parts.append(" " * (end - start))
        else:
            parts.append(("'" + " " * (end - start - 2) + "'")[: end - start])
        position = end
    return "".join([*parts, sql[position:]])


def _end_of_comment(sql: str, start: int) -> int:
    depth = 0
    for mark in _COMMENT_MARK.finditer(sql, start):
        depth += 1 if mark[0] == "/*" else -1
        if not depth:
            return mark.end()
    return len(sql)


def _plain(code: str) -> str:
    return _SPACE.sub(" ", _IDENTIFIER.sub('""', code)).upper()


def _statements(code: str) -> Iterator[str]:
    for part in _plain(code).split(";"):
        if statement := part.strip(" ").lstrip("( "):
            yield statement


def _set_config_calls(sql: str, code: str) -> Iterator[tuple[str, int | str | bool | None]]:
    """Yield the first argument of each call, and how its third one decides if it is local."""
    for call in _SET_CONFIG.finditer(code):
        arguments = _arguments(sql, code, call.end())
        if len(arguments) != 3:
            yield "", None
            return
        yield arguments[0][1], _local_if(sql, *arguments[2])


def _arguments(sql: str, code: str, start: int) -> list[tuple[int, str]]:
    """Return the arguments of a call, each with its position. Empty if the call does not end."""
    found, begin, depth = [], start, 0
    for match in _DELIMITER.finditer(code, start):
        if match[0] == "(":
            depth += 1
        elif depth:
            depth -= match[0] == ")"
        elif match[0] in ",)":
            argument = code[begin : match.start()]
            begin += len(argument) - len(argument.lstrip())
            found.append((begin, sql[begin : begin + len(argument.strip())]))
            begin = match.end()
            if match[0] == ")":
                return found
    return []


def _local_if(sql: str, position: int, argument: str) -> int | str | bool | None:
    """Return True if set_config()'s third argument is true, or the key of a parameter.

    Return None where it is false or not understood.
    """
    argument = re.sub(r"\s*::\s*bool(ean)?$", "", argument, flags=re.IGNORECASE)
    word = argument.lower()
    if word == "true" or (word[:1] == "'" and word.strip("'") in _TRUE_WORDS):
        return True
    if match := re.fullmatch(r"%\((\w+)\)[sbt]", argument):
        return match[1]
    if re.fullmatch(r"%[sbt]", argument):
        return sum(found[0] != "%%" for found in _PLACEHOLDER.finditer(sql, 0, position))
    if match := re.fullmatch(r"\$(\d+)", argument):
        return int(match[1]) - 1
    return None


def _is_true(parameters: object, key: int | str) -> bool:
    """Return True if PostgreSQL reads the parameter `key` as true."""
    value: Any = None
    if isinstance(parameters, Mapping):
        value = parameters.get(key)
    elif isinstance(parameters, Sequence) and isinstance(key, int) and 0 <= key < len(parameters):
        value = parameters[key]
    return str(value).lower() in _TRUE_WORDS
