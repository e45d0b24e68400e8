"""The answers to probes."""

from django.db import Error, connection
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from database.middleware import unavailable


@require_safe
def livez(request: HttpRequest) -> HttpResponse:
    """200 without touching the database: its outage is no reason to restart this process."""
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """200 after SELECT 1 on a connection as requests use it, else 503."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error as error:
        return unavailable(error)
    return HttpResponse("ok\n", content_type="text/plain")
