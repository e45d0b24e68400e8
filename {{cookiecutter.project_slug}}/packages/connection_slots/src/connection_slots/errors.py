"""The errors that mean "the database cannot be used now, but may be later"."""

from django.db import InterfaceError, InternalError, OperationalError

# SQLSTATE prefixes: class 08 is a connection exception; 57P is a server that shuts down, has
# crashed or starts up; 53300 is too many connections.
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_UNAVAILABLE = ("08", "57P", "53300")


class DatabaseUnavailable(OperationalError):
    """No connection was available before the timeout. The same request may succeed later."""


class SlotTimeout(DatabaseUnavailable):
    """All slots of this worker stayed in use for DATABASE_SLOT_TIMEOUT seconds."""


def mark_connection_lost(error: BaseException) -> None:
    """Record on a driver's exception that the connection broke while it was raised."""
    error.connection_lost = True  # type: ignore[attr-defined]


def is_unavailable(error: BaseException) -> bool:
    """Return True if `error` means that the database is away or full.

    An error without an SQLSTATE counts only if the connection broke at that moment: drivers raise
    the same classes for programming errors, such as a fetch from a closed cursor.
    """
    if isinstance(error, DatabaseUnavailable):
        return True
    # InternalError: psycopg, where PgBouncer refuses BEGIN and closes the connection.
    if not isinstance(error, (OperationalError, InterfaceError, InternalError)):
        return False
    cause = error.__cause__
    if getattr(cause, "connection_lost", False):
        return True
    sqlstate = sqlstate_of(cause)
    return sqlstate is not None and sqlstate.startswith(_UNAVAILABLE)


def sqlstate_of(error: BaseException | None) -> str | None:
    """Return the SQLSTATE of a driver's exception: `sqlstate` in psycopg, `pgcode` in psycopg2."""
    return getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
