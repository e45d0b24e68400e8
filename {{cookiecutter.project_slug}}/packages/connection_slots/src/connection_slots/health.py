"""Answer probes: /livez while the process serves, /readyz while its database answers too.

This is a middleware and not a pair of views: probes come by IP address and plain HTTP, which
ALLOWED_HOSTS and the redirect to HTTPS would turn away.
"""

import os
from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.conf import settings
from django.db import Error, connection
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.views.decorators.http import require_safe

from connection_slots.middleware import unavailable


class HealthMiddleware:
    """Put it first in MIDDLEWARE."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Answer a probe, or pass the request on."""
        if self._is_async:
            return self._answer_async(request)
        probe = _PROBES.get(request.path)
        response: HttpResponseBase = probe(request) if probe else self.get_response(request)
        return response

    async def _answer_async(self, request: HttpRequest) -> HttpResponseBase:
        if request.path == "/livez":
            return livez(request)
        if request.path == "/readyz":
            return await sync_to_async(readyz)(request)
        response: HttpResponseBase = await self.get_response(request)
        return response


@require_safe
def livez(request: HttpRequest) -> HttpResponse:
    """Return 200 without the database: its outage is no reason to restart this process."""
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """Return 200 after SELECT 1 on a connection as requests use it, else 503.

    While the file DRAIN_FILE exists, return 503: the load balancer sends no more requests, and
    those that it sent are served.
    """
    drain_file = getattr(settings, "DRAIN_FILE", "")
    if drain_file and os.path.exists(drain_file):
        return HttpResponse("draining\n", status=503, content_type="text/plain")
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error as error:
        return unavailable(error)
    return HttpResponse("ok\n", content_type="text/plain")


_PROBES: dict[str, Callable[[HttpRequest], HttpResponse]] = {"/livez": livez, "/readyz": readyz}
