"""Views that use the other software and the database, and say which connections served them."""

import time
from typing import Any

from asgiref.sync import sync_to_async
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from notes.models import Note

from . import sent

PAGE = "<!DOCTYPE html><html><head><title>Notes</title></head><body>{}</body></html>"


def connection_used() -> str:
    """Return the pid and the start of the connection that runs this query."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid || ' ' || backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
        )
        return str(cursor.fetchone()[0])


def has_comment() -> bool:
    """Return True if the statements of this request carry the id of its trace."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT query ~ 'traceparen[t]' FROM pg_stat_activity WHERE pid = pg_backend_pid()"
        )
        return bool(cursor.fetchone()[0])


def use_database() -> list[str]:
    """Write and read in a transaction, wait, and read again. Return the connections used."""
    with transaction.atomic():
        note = Note.objects.create(text="from other software")
        first = connection_used()
    time.sleep(0.01)
    Note.objects.filter(pk=note.pk).delete()
    list(Note.objects.all()[:5])
    return [first, connection_used()]


def mark(response: HttpResponse, connections: list[str]) -> HttpResponse:
    """Put the connections that served a request into its response."""
    response["X-Connections"] = ",".join(connections)
    response["X-Sent"] = str(sent.count)
    return response


def page(request: HttpRequest) -> HttpResponse:
    """Answer a page, which the toolbar extends."""
    response = HttpResponse(PAGE.format(Note.objects.count()))
    response["X-Commented"] = str(has_comment())
    return mark(response, use_database())


async def async_page(request: HttpRequest) -> HttpResponse:
    """Answer the same page from the event loop."""
    response = HttpResponse(PAGE.format(await Note.objects.acount()))
    response["X-Commented"] = str(await sync_to_async(has_comment)())
    return mark(response, await sync_to_async(use_database)())


def places(request: HttpRequest) -> HttpResponse:
    """Store a place, and look for those nearby."""
    from django.contrib.gis.geos import Point
    from django.contrib.gis.measure import Distance

    from .places.models import Place

    here = Point(13.4, 52.5, srid=4326)
    place = Place.objects.create(position=here)
    nearby: Any = Place.objects.filter(position__dwithin=(here, Distance(m=100)))
    assert place in nearby
    place.delete()
    return mark(HttpResponse(PAGE.format(len(nearby))), use_database())
