"""A view that asks PostgreSQL who serves it, and some that behave badly."""

{% if cookiecutter.worker_class == 'asgi' %}
import asyncio
{% endif %}
import contextlib
{% if cookiecutter.worker_class == 'asgi' %}
import contextvars
{% endif %}
import threading
import time
{% if cookiecutter.worker_class == 'asgi' %}
from collections import Counter
from collections.abc import AsyncIterator
{% else %}
from collections.abc import Iterator
{% endif %}

{% if cookiecutter.worker_class == 'asgi' %}
from asgiref.sync import sync_to_async
from django.core.signals import request_finished, request_started
{% elif cookiecutter.__lends %}
from django.core.signals import request_finished
{% endif %}
from django.db import Error, connection, transaction
{% if cookiecutter.worker_class == 'asgi' %}
from django.dispatch import receiver
{% endif %}
{% if cookiecutter.__lends %}
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
{% else %}
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
{% endif %}

# What a session may carry from one request to the next, as PostgreSQL tells it.
SESSION = {
    "timezone": "current_setting('TimeZone')",
    "role": "current_setting('role')",
    "search_path": "current_setting('search_path')",
    "setting": "coalesce(current_setting('probe.setting', true), '')",
    "in_transaction": "pg_current_xact_id_if_assigned() IS NOT NULL",
    "cursors": "(SELECT count(*) FROM pg_cursors)",
    "channels": "(SELECT count(*) FROM pg_listening_channels())",
    "temporary": "(SELECT count(*) FROM pg_class WHERE oid = to_regclass('pg_temp.left_behind'))",
    "locks": "(SELECT count(*) FROM pg_locks"
    " WHERE locktype = 'advisory' AND pid = pg_backend_pid())",
}
STATEMENTS = {
    "time-zone": "SET TIME ZONE 'Asia/Tokyo'",
    "role": f'SET ROLE "{connection.settings_dict["USER"]}"',
    "search-path": "SET search_path TO pg_catalog",
    "setting": "SELECT set_config('probe.setting', 'left', false)",
    "local-setting": "SELECT set_config('probe.setting', 'left', true)",
    "advisory-lock": "SELECT pg_advisory_lock(42)",
    "listen": "LISTEN left_behind",
    "temporary-table": "CREATE TEMPORARY TABLE left_behind ()",
}


def query(request: HttpRequest) -> JsonResponse:
    """Sleep for `seconds` in the database, and say which backend it was and when it began."""
    with connection.cursor() as cursor:
        seconds = float(request.GET.get("seconds", 0))
        cursor.execute("SELECT pg_backend_pid(), now(), pg_sleep(%s)", [seconds])
        backend, began, _ = cursor.fetchone()
        return JsonResponse({"backend": backend, "began": began})


def session(request: HttpRequest) -> JsonResponse:
    """What is left in the session that serves this request: nothing, it should be."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(SESSION.values())}")
        found = dict(zip(SESSION, cursor.fetchone(), strict=True))
    return JsonResponse({**found, "autocommit": connection.get_autocommit()})


def leave(request: HttpRequest, what: str) -> JsonResponse:
    """End without tidying up; the next request must not see it."""
    if what == "exception-in-atomic":
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("CREATE TABLE left_behind ()")
            raise RuntimeError("on purpose")
    if what == "server-side-cursor":
        dropped = connection.chunked_cursor()
        dropped.execute("SELECT generate_series(1, 1000)")
        dropped.fetchone()
        return JsonResponse({})
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
            case _:
                cursor.execute(STATEMENTS[what])
    return JsonResponse({})


{% if cookiecutter.__lends %}
def late(request: HttpRequest) -> HttpResponse:
    """Query once more when the request has ended, after Django's and this project's receivers."""
    request_finished.connect(_query_after, dispatch_uid="late")
    return HttpResponse()


def _query_after(**kwargs: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def missing(request: HttpRequest) -> HttpResponse:
    """Query, and find nothing; the error's page queries as well."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(0.05)")
    raise Http404


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(0.05)")
    return HttpResponse(status=404)


{% endif %}
def spawn(request: HttpRequest, what: str) -> HttpResponse:
    """Start a thread that uses the database and ends, or stays for a while."""
    begun = threading.Event()

    def work() -> None:
        with connection.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("SELECT pg_current_xact_id()")
        begun.set()
        if what == "staying":
            time.sleep(3)

    threading.Thread(target=work, daemon=True).start()
    begun.wait(10)
    return HttpResponse()
{% if cookiecutter.worker_class == 'asgi' %}


def _chunk() -> bytes:
    with connection.cursor() as cursor:
        cursor.execute("SELECT repeat('x', 65536)")
        return cursor.fetchone()[0].encode()


async def pool(request: HttpRequest) -> HttpResponse:
    """Use the database on a thread that outlives the request."""
    await sync_to_async(_chunk, thread_sensitive=False)()
    return HttpResponse()


async def task(request: HttpRequest) -> HttpResponse:
    """Start a task that uses the database when the request has ended."""

    async def work() -> None:
        await asyncio.sleep(0.1)
        await sync_to_async(_chunk)()

    _tasks.append(asyncio.create_task(work(), context=contextvars.Context()))
    return HttpResponse()


_tasks: list[asyncio.Task[None]] = []
_signals = Counter[str]()


@receiver(request_started)
def _count_started(**kwargs: object) -> None:
    _signals["started"] += 1


@receiver(request_finished)
def _count_finished(**kwargs: object) -> None:
    _signals["finished"] += 1


async def signals(request: HttpRequest) -> JsonResponse:
    """How many requests have started and finished in this process."""
    await asyncio.sleep(0.2)  # a client has its answer before the request is finished
    return JsonResponse({name: _signals[name] for name in ("started", "finished")})


def stream(request: HttpRequest) -> StreamingHttpResponse:
    """Ten seconds of chunks, each from the database."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield await sync_to_async(_chunk)()
            await asyncio.sleep(0.05)

    return StreamingHttpResponse(chunks())
{% else %}


def stream(request: HttpRequest) -> StreamingHttpResponse:
    """Ten seconds of chunks, each from the database."""

    def chunks() -> Iterator[bytes]:
        for _ in range(200):
            with connection.cursor() as cursor:
                cursor.execute("SELECT repeat('x', 65536)")
                yield cursor.fetchone()[0].encode()
            time.sleep(0.05)

    return StreamingHttpResponse(chunks())
{% endif %}
