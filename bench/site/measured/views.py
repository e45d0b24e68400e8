"""The views: a quick query, a slow one, another service, and nothing."""

import asyncio
import time

from django.db import connection
from django.http import HttpRequest, HttpResponse

SLOW = 0.05  # seconds, for the slow query and for the other service


def query(request: HttpRequest) -> HttpResponse:
    """The time to reach the database and back is all that it costs."""
    return _ask("SELECT pg_backend_pid()")


def slow(request: HttpRequest) -> HttpResponse:
    return _ask(f"SELECT pg_sleep({SLOW})")


def wait(request: HttpRequest) -> HttpResponse:
    """Wait for another service; the database is not touched."""
    time.sleep(SLOW)
    return _text("waited\n")


async def wait_async(request: HttpRequest) -> HttpResponse:
    """The same, as one writes it for an event loop."""
    await asyncio.sleep(SLOW)
    return _text("waited\n")


def plain(request: HttpRequest) -> HttpResponse:
    """The same view without a database: nothing can be faster."""
    return _text("nothing\n")


def _ask(sql: str) -> HttpResponse:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return _text(f"{cursor.fetchone()[0]}\n")


def _text(words: str) -> HttpResponse:
    # As Django's CommonMiddleware would state it; without it gunicorn sends chunks.
    length = {"Content-Length": str(len(words))}
    return HttpResponse(words, content_type="text/plain", headers=length)
