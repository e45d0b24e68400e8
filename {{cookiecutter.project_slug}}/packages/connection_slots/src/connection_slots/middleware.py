"""Answer 503 with Retry-After when the database is unavailable, in place of a 500."""

import logging
import sys

from django.http import HttpRequest, HttpResponse
from django.utils.deprecation import MiddlewareMixin
from django.views.defaults import server_error

from connection_slots.errors import is_unavailable

RETRY_AFTER = 2  # seconds: a restart of PostgreSQL takes about as long

logger = logging.getLogger("connection_slots")


class DatabaseUnavailableMiddleware(MiddlewareMixin):
    """Turn a view's DatabaseUnavailable, or a connection that broke under it, into a 503."""

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Return the 503, or None for every other error."""
        return unavailable(error) if is_unavailable(error) else None


def handler500(request: HttpRequest) -> HttpResponse:
    """Return Django's 500, but 503 where a middleware, such as the session's, had no database."""
    error = sys.exc_info()[1]
    if error is not None and is_unavailable(error):
        return unavailable(error)
    return server_error(request)


def unavailable(error: BaseException) -> HttpResponse:
    """Return 503 Service Unavailable with Retry-After in seconds (RFC 9110, section 10.2.3).

    The reason is for the log, not for the client.
    """
    logger.warning("503: %s", str(error).strip() or type(error).__name__)
    return HttpResponse(
        "The database is unavailable.\n",
        status=503,
        content_type="text/plain",
        headers={"Retry-After": str(RETRY_AFTER)},
    )
