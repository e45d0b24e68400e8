"""What it is called when the database cannot be used for now."""

from django.db import InterfaceError, OperationalError

# Class 08, connection exceptions; 57P, the server shuts down, crashed or starts up;
# 53300, too many connections: https://www.postgresql.org/docs/current/errcodes-appendix.html
_UNAVAILABLE = ("08", "57P", "53300")


class DatabaseUnavailable(OperationalError):
    """No connection could be had within its deadline; later it may."""


def is_unavailable(error: BaseException) -> bool:
    """Whether `error` says that the database is away or full, not that a statement was wrong."""
    if isinstance(error, DatabaseUnavailable):
        return True
    if not isinstance(error, (OperationalError, InterfaceError)) or error.__cause__ is None:
        return False
    # Without an SQLSTATE the error is the client library's own: the connection broke.
    sqlstate = getattr(error.__cause__, "{{ cookiecutter.__sqlstate }}", None)
    return sqlstate is None or sqlstate.startswith(_UNAVAILABLE)
