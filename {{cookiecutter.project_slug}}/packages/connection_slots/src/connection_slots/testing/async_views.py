"""Views for the asgi worker class that work on its event loop."""

import asyncio
import contextvars
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

from asgiref.sync import sync_to_async
from django.core.signals import request_finished, request_started
from django.db import connection
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse

from connection_slots.testing.views import CHUNK, CHUNKS, connection_pid, seconds

_tasks: list[asyncio.Task[None]] = []
_signals = Counter[str]()


async def wait(request: HttpRequest) -> JsonResponse:
    """Query, wait for `seconds` without the database, and query again."""
    first = await sync_to_async(connection_pid)()
    await asyncio.sleep(seconds(request))
    return JsonResponse({"connections": [first, await sync_to_async(connection_pid)()]})


async def stream(request: HttpRequest) -> StreamingHttpResponse:
    """Send chunks from the database for ten seconds."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(CHUNKS):
            yield await sync_to_async(_chunk)()
            await asyncio.sleep(0.05)

    return StreamingHttpResponse(chunks())


async def pool(request: HttpRequest) -> HttpResponse:
    """Query on a thread that outlives the request."""
    await sync_to_async(connection_pid, thread_sensitive=False)()
    return HttpResponse()


async def task(request: HttpRequest) -> HttpResponse:
    """Start a task that queries after the end of the request."""

    async def work() -> None:
        await asyncio.sleep(0.1)
        await sync_to_async(connection_pid)()

    _tasks.append(asyncio.create_task(work(), context=contextvars.Context()))
    return HttpResponse()


async def signals(request: HttpRequest) -> JsonResponse:
    """Answer how many requests have started and finished in this process."""
    await asyncio.sleep(0.5)  # a client has its answer before the request is finished
    return JsonResponse({name: _signals[name] for name in ("started", "finished")})


@receiver(request_started)
async def _count_started(**kwargs: Any) -> None:
    _signals["started"] += 1


@receiver(request_finished)
async def _count_finished(**kwargs: Any) -> None:
    _signals["finished"] += 1


def _chunk() -> bytes:
    with connection.cursor() as cursor:
        cursor.execute(CHUNK)
        text: str = cursor.fetchone()[0]
        return text.encode()
