"""Answers 503 with Retry-After when the database is unavailable, in place of a 500."""

from django.http import HttpRequest, HttpResponse
from django.utils.deprecation import MiddlewareMixin

from database.exceptions import is_unavailable

RETRY_AFTER = 2  # seconds: a restart of PostgreSQL takes about as long


class DatabaseUnavailableMiddleware(MiddlewareMixin):
    """Turns a view's DatabaseUnavailable, or a connection cut in flight, into a 503."""

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        return unavailable() if is_unavailable(error) else None


def unavailable() -> HttpResponse:
    """503 Service Unavailable, with Retry-After in seconds (RFC 9110, section 10.2.3)."""
    return HttpResponse(
        "The database is unavailable.\n",
        status=503,
        content_type="text/plain",
        headers={"Retry-After": RETRY_AFTER},
    )
