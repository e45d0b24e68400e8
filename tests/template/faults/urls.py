"""The URLs of the service's tests, and views for faults in the middle of a transaction."""

import time

from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from django.urls import include, path

# Seconds; more than the statement_timeout that the tests give to the service.
LONGER = 30


def transfer(request: HttpRequest, end: str) -> HttpResponse:
    """Write a row, wait for `seconds` in the transaction, then commit or write another row."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("INSERT INTO transfer VALUES (1)")
        time.sleep(_seconds(request))
        if end == "statement":
            cursor.execute("INSERT INTO transfer VALUES (2)")
    return HttpResponse()


def long(request: HttpRequest) -> HttpResponse:
    """Run a query that takes `seconds`, in a transaction that allows it to take LONGER."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL statement_timeout = '{LONGER}s'")
        cursor.execute("SELECT pg_sleep(%s)", [_seconds(request)])
    return HttpResponse()


def _seconds(request: HttpRequest) -> float:
    return float(request.GET["seconds"])


urlpatterns = [
    path("", include("tests.urls")),
    path("faults/transfer/<str:end>", transfer),
    path("faults/long", long),
]
