"""Answers 503 with Retry-After when the database is unavailable, in place of a 500."""

import logging
import sys

from django.http import HttpRequest, HttpResponse
from django.utils.deprecation import MiddlewareMixin
from django.views.defaults import server_error

{% if cookiecutter.worker_class == 'asgi' %}
from database import slots
{% endif %}
from database.exceptions import is_unavailable

RETRY_AFTER = 2  # seconds: a restart of PostgreSQL takes about as long

logger = logging.getLogger("database")


class DatabaseUnavailableMiddleware(MiddlewareMixin):
    """Turns a view's DatabaseUnavailable, or a connection cut in flight, into a 503."""

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
{% if cookiecutter.worker_class == 'asgi' %}
        # Django renders the error's page on another thread, which should not have to wait for a
        # second slot while this one is held.
        slots.give_back_if_clean()
{% endif %}
        return unavailable(error) if is_unavailable(error) else None


def handler500(request: HttpRequest) -> HttpResponse:
    """Django's, but 503 where a middleware, the session's for instance, met no database."""
    error = sys.exc_info()[1]
    if error is not None and is_unavailable(error):
        return unavailable(error)
    return server_error(request)


def unavailable(error: BaseException) -> HttpResponse:
    """503 Service Unavailable, with Retry-After in seconds (RFC 9110, section 10.2.3).

    The reason is for the log, not for the client.
    """
    logger.warning("503: %s", str(error).strip() or type(error).__name__)
    return HttpResponse(
        "The database is unavailable.\n",
        status=503,
        content_type="text/plain",
        headers={"Retry-After": RETRY_AFTER},
    )
