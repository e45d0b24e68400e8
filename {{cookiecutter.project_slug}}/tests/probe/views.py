"""A view that asks PostgreSQL who serves it, and one that leaves a mess."""

import contextlib

from django.db import Error, connection, transaction
from django.http import HttpRequest, JsonResponse


def query(request: HttpRequest) -> JsonResponse:
    """Sleep for `seconds` in the database; say which backend it was and what state it is in."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_backend_pid(), current_setting('TimeZone'),"
            " pg_current_xact_id_if_assigned() IS NOT NULL, pg_sleep(%s)",
            [float(request.GET.get("seconds", 0))],
        )
        backend, timezone, in_transaction, _ = cursor.fetchone()
    return JsonResponse(
        {
            "backend": backend,
            "timezone": timezone,
            "in_transaction": in_transaction,
            "autocommit": connection.get_autocommit(),
        }
    )


def leave(request: HttpRequest, what: str) -> JsonResponse:
    """End without tidying up; the next request must not see it."""
    if what == "exception-in-atomic":
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("CREATE TEMPORARY TABLE left_behind ()")
            raise RuntimeError("on purpose")
    with connection.cursor() as cursor:
        match what:
            case "open-transaction":
                cursor.execute("BEGIN")
                cursor.execute("SELECT pg_current_xact_id()")
            case "autocommit-off":
                connection.set_autocommit(False)
                cursor.execute("SELECT pg_current_xact_id()")
            case "broken-transaction":
                cursor.execute("BEGIN")
                with contextlib.suppress(Error):
                    cursor.execute("SELECT 1 / 0")
        return JsonResponse({})
