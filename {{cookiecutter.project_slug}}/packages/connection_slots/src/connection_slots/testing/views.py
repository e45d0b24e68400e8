"""Views that show how a request uses its connection, and some that leave a mess."""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.signals import request_finished
from django.db import Error, connection, transaction
from django.db.backends.postgresql.psycopg_any import is_psycopg3
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse

from connection_slots import slots

CHUNK = "SELECT repeat('x', 65536)"
CHUNKS = 200  # one every 0.05 s

# What a session may carry into the next request, as PostgreSQL tells it.
SESSION = {
    "transaction": "pg_current_xact_id_if_assigned()::text",
    "time zone": "current_setting('TimeZone')",
    "role": "current_setting('role')",
    "search_path": "current_setting('search_path')",
    "statement_timeout": "current_setting('statement_timeout')",
    "isolation": "current_setting('transaction_isolation')",
    "setting": "coalesce(current_setting('test.setting', true), '')",
    "advisory locks": "(SELECT count(*) FROM pg_locks"
    " WHERE locktype = 'advisory' AND pid = pg_backend_pid())",
    "channels": "(SELECT count(*) FROM pg_listening_channels())",
    "temporary tables": "(SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema())",
    "prepared statements": "(SELECT count(*) FROM pg_prepared_statements WHERE from_sql)",
    "cursors": "(SELECT count(*) FROM pg_cursors WHERE is_holdable)",
}
# What leave/<what> executes. {user} is the role that owns the connection.
STATEMENTS = {
    "time-zone": "SET TIME ZONE 'Asia/Tokyo'",
    "role": "SET ROLE {user}",
    "search-path": "SET search_path TO pg_catalog",
    "statement-timeout": "SET statement_timeout TO '14s'",
    "setting": "SELECT set_config('test.setting', 'left', false)",
    "local-setting": "SELECT set_config('test.setting', 'left', true)",
    "advisory-lock": "SELECT pg_advisory_lock_shared(42)",
    "listen": "LISTEN left_behind",
    "temporary-table": "CREATE TEMPORARY TABLE left_behind ()",
    "prepared-statement": "PREPARE left_behind AS SELECT 1",
    "cursor-with-hold": "DECLARE left_behind CURSOR WITH HOLD FOR SELECT 1",
    "open-transaction": "BEGIN; SELECT pg_current_xact_id()",
}


def query(request: HttpRequest) -> JsonResponse:
    """Run one query that takes `seconds`. Answer which connection ran it, and when it began."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid(), now(), pg_sleep(%s)", [seconds(request)])
        pid, began, _ = cursor.fetchone()
    return JsonResponse({"connection": pid, "began": began})


def wait(request: HttpRequest) -> JsonResponse:
    """Query, wait for `seconds` without the database, and query again."""
    first = connection_pid()
    time.sleep(seconds(request))
    return JsonResponse({"connections": [first, connection_pid()]})


def atomic(request: HttpRequest) -> JsonResponse:
    """Do as `wait` does, in a transaction."""
    with transaction.atomic():
        return wait(request)


def hold(request: HttpRequest) -> JsonResponse:
    """Do as `wait` does, while the slot is held."""
    with slots.hold():
        return wait(request)


def touch(request: HttpRequest) -> HttpResponse:
    """Look at the connection's attributes, as middleware and libraries do, without a query."""
    return HttpResponse(f"{connection.vendor} {connection.in_atomic_block}")


def session(request: HttpRequest) -> JsonResponse:
    """Answer the state of the session that serves this request."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(SESSION.values())}")
        found = dict(zip(SESSION, cursor.fetchone(), strict=True))
        found["driver's isolation"] = str(connection.connection.isolation_level)
    found["autocommit"] = connection.get_autocommit()
    found["execute wrappers"] = len(connection.execute_wrappers)
    return JsonResponse(found)


def leave(request: HttpRequest, what: str) -> JsonResponse:
    """Leave something that the next request must not see."""
    match what:
        case "exception-in-atomic":
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("CREATE TABLE left_behind ()")
                raise RuntimeError("on purpose")
        case "open-atomic":
            transaction.atomic().__enter__()
            _execute("SELECT pg_current_xact_id()")
        case "autocommit-off":
            connection.set_autocommit(False)
            _execute("SELECT pg_current_xact_id()")
        case "broken-transaction":
            with contextlib.suppress(Error):
                _execute("BEGIN; SELECT 1 / 0")
        case "isolation-level":
            connection.ensure_connection()
            connection.connection.isolation_level = 3  # not the default of either driver
        case "server-side-cursor":
            rows = connection.chunked_cursor()
            rows.execute("SELECT generate_series(1, 1000)")
            rows.fetchone()
        case "execute-wrapper":
            connection.execute_wrappers.append(lambda execute, *rest: execute(*rest))
            connection_pid()
        case _:
            user = connection.ops.quote_name(connection.settings_dict["USER"])
            _execute(STATEMENTS[what].format(user=user))
    return JsonResponse({})


# What raises: one on purpose, and what a transaction pooler cannot keep for one client.
RAISES = {"exception-in-atomic"}
if getattr(settings, "DATABASE_POOLER", ""):
    RAISES |= {*STATEMENTS, "server-side-cursor"} - {"local-setting", "open-transaction"}
    if not is_psycopg3:
        RAISES.add("isolation-level")

LEFT = (
    *STATEMENTS,
    "exception-in-atomic",
    "open-atomic",
    "autocommit-off",
    "broken-transaction",
    "isolation-level",
    "server-side-cursor",
    "execute-wrapper",
)


def error(request: HttpRequest) -> HttpResponse:
    """Fail with a database error that is the program's fault."""
    _execute("SELECT 1 / 0")
    return HttpResponse()


def late(request: HttpRequest) -> HttpResponse:
    """Query once more when the request has finished, in the last receiver of the signal."""
    request_finished.connect(_query_late, dispatch_uid="late")
    return HttpResponse()


def _query_late(**kwargs: Any) -> None:
    connection_pid()


def spawn(request: HttpRequest, what: str) -> HttpResponse:
    """Start a thread that leaves a transaction open: it ends at once, or after 3 s (staying)."""
    begun = threading.Event()

    def work() -> None:
        _execute("BEGIN; SELECT pg_current_xact_id()")
        begun.set()
        if what == "staying":
            time.sleep(3)

    threading.Thread(target=work, daemon=True).start()
    begun.wait(10)
    return HttpResponse()


def stream(request: HttpRequest) -> StreamingHttpResponse:
    """Send chunks from the database for ten seconds, each while its cursor is open."""

    def chunks() -> Iterator[bytes]:
        for _ in range(CHUNKS):
            with connection.cursor() as cursor:
                cursor.execute(CHUNK)
                yield cursor.fetchone()[0].encode()
            time.sleep(0.05)

    return StreamingHttpResponse(chunks())


def seconds(request: HttpRequest) -> float:
    """Return the query parameter `seconds`, 0 by default."""
    return float(request.GET.get("seconds", 0))


def connection_pid() -> int:
    """Return the pid that PostgreSQL gave the connection, from a query."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def _execute(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)
