"""The loads, named and defined as TechEmpower's where it has one."""

import asyncio
import os
import random
import time

from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

from loads.models import Fortune, World

ROWS = 10_000
QUERIES = 20
OTHER_SERVICE = 0.2  # seconds until it answers
HOLD = 0.2  # seconds for which a slot is held


def db(request: HttpRequest) -> HttpResponse:
    """Read one row."""
    return JsonResponse(_values(World.objects.get(pk=_key())))


def queries(request: HttpRequest) -> HttpResponse:
    """Read twenty rows, each with a query of its own."""
    rows = [World.objects.get(pk=_key()) for _ in range(QUERIES)]
    return JsonResponse([_values(row) for row in rows], safe=False)


def fortunes(request: HttpRequest) -> HttpResponse:
    """Read all rows of a small table, and render them."""
    found = [
        *Fortune.objects.all(),
        Fortune(id=0, message="Additional fortune added at request time."),
    ]
    return render(
        request, "fortunes.html", {"fortunes": sorted(found, key=lambda row: row.message)}
    )


def updates(request: HttpRequest) -> HttpResponse:
    """Read twenty rows and change them, in one transaction.

    They are locked in the order of their keys, so two requests cannot deadlock.
    """
    with transaction.atomic():
        rows = [World.objects.select_for_update().get(pk=key) for key in sorted(_keys())]
        for row in rows:
            row.number = _key()
        World.objects.bulk_update(rows, ["number"])
    return JsonResponse([_values(row) for row in rows], safe=False)


def mixed_sync(request: HttpRequest) -> HttpResponse:
    """Query, wait for another service, query."""
    first = World.objects.get(pk=_key())
    time.sleep(OTHER_SERVICE)
    return JsonResponse([_values(first), _values(World.objects.get(pk=_key()))], safe=False)


async def mixed_async(request: HttpRequest) -> HttpResponse:
    """Do the same, and wait on the event loop."""
    first = await World.objects.aget(pk=_key())
    await asyncio.sleep(OTHER_SERVICE)
    return JsonResponse([_values(first), _values(await World.objects.aget(pk=_key()))], safe=False)


mixed = mixed_async if os.environ["BENCH_GATEWAY"] == "asgi" else mixed_sync


def hold(request: HttpRequest) -> HttpResponse:
    """Keep a connection busy: at most slots / HOLD requests are served in a second."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(%s)", [HOLD])
    return HttpResponse("done\n", content_type="text/plain")


def _key() -> int:
    return random.randint(1, ROWS)  # noqa: S311


def _keys() -> list[int]:
    return random.sample(range(1, ROWS + 1), QUERIES)


def _values(row: World) -> dict[str, int]:
    return {"id": row.pk, "randomNumber": row.number}
