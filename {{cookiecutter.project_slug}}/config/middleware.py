"""Give each request an id, which its log lines and its response carry."""

import re
import uuid
from collections.abc import Awaitable, Callable
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Any

import structlog
from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

HEADER = "X-Request-ID"
WELL_FORMED = re.compile(r"[\w.:=/+-]{1,128}", re.ASCII)


@sync_and_async_middleware
def request_id_middleware(
    get_response: Callable[[HttpRequest], Any],
) -> Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]:
    """Put it first in MIDDLEWARE."""
    if iscoroutinefunction(get_response):

        async def answer_async(request: HttpRequest) -> HttpResponseBase:
            request_id = bind_request_id(request)
            response: HttpResponseBase = await get_response(request)
            response[HEADER] = request_id
            return response

        return answer_async

    def answer(request: HttpRequest) -> HttpResponseBase:
        request_id = bind_request_id(request)
        response: HttpResponseBase = get_response(request)
        response[HEADER] = request_id
        return response

    return answer


def bind_request_id(request: HttpRequest) -> str:
    """Return the id that a trusted proxy has set, or a new one, and bind it to the log.

    It stays bound until the next request: a streaming response is sent after the middleware.
    """
    request_id = request.headers.get(HEADER, "")
    peer = request.META.get("REMOTE_ADDR", "")
    if not WELL_FORMED.fullmatch(request_id) or not is_trusted(peer):
        request_id = uuid.uuid4().hex
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=request_id)
    return request_id


@lru_cache(maxsize=1024)
def is_trusted(peer: str) -> bool:
    """Apply gunicorn's rule for forwarded_allow_ips to an address. A Unix socket has none."""
    if not peer or "*" in settings.FORWARDED_ALLOW_IPS:
        return True
    return any(ip_address(peer) in ip_network(each) for each in settings.FORWARDED_ALLOW_IPS)
