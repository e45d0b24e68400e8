"""Django's middleware for ASGI, without a switch to the thread of the request.

Under ASGI, Django runs each synchronous hook of its middleware on the request's thread, with a
switch there and back. These hooks wait for nothing, so here they run on the event loop, which saves
half of the time that a short request costs. `asgi.Handler` puts them in place of their namesakes.
"""

from typing import Any

from asgiref.sync import sync_to_async
from django import VERSION as DJANGO_VERSION
from django.http import HttpRequest, HttpResponseBase
from django.middleware.clickjacking import XFrameOptionsMiddleware as DjangoXFrameOptions
from django.middleware.common import CommonMiddleware as DjangoCommon
from django.middleware.csrf import CsrfViewMiddleware as DjangoCsrf
from django.middleware.security import SecurityMiddleware as DjangoSecurity

SAFE_METHODS = ("GET", "HEAD", "OPTIONS", "TRACE")


class OnEventLoop:
    """Put before a class whose process_request() waits for nothing."""

    def may_wait(self, request: HttpRequest) -> bool:
        """Return True if process_response() may use the database: it gets the thread then."""
        return False

    async def __acall__(self: Any, request: HttpRequest) -> HttpResponseBase:
        """Call the hooks as Django's MiddlewareMixin does."""
        response: HttpResponseBase | None = None
        if hasattr(self, "process_request"):
            response = self.process_request(request)
        if response is None:
            response = await self.get_response(request)
        if not hasattr(self, "process_response"):
            return response
        if self.may_wait(request):
            changed = await sync_to_async(self.process_response)(request, response)
        else:
            changed = self.process_response(request, response)
        return changed  # type: ignore[no-any-return]


class SecurityMiddleware(OnEventLoop, DjangoSecurity):
    """Redirect to HTTPS and set headers."""


class CommonMiddleware(OnEventLoop, DjangoCommon):
    """Check the host name, append slashes and set Content-Length."""


class XFrameOptionsMiddleware(OnEventLoop, DjangoXFrameOptions):
    """Set X-Frame-Options."""


if DJANGO_VERSION >= (6, 0):
    from django.middleware.csp import ContentSecurityPolicyMiddleware as DjangoCsp

    class ContentSecurityPolicyMiddleware(OnEventLoop, DjangoCsp):
        """Set Content-Security-Policy."""


class CsrfViewMiddleware(OnEventLoop, DjangoCsrf):
    """Check the CSRF token in a cookie. CSRF_USE_SESSIONS needs Django's own class."""

    async def process_view(self, *arguments: Any) -> Any:  # type: ignore[override]
        """Check the token. To parse a form, which may be large, use the thread."""
        check = super().process_view
        if arguments[0].method in SAFE_METHODS:
            return check(*arguments)
        return await sync_to_async(check)(*arguments)
