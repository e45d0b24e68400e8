"""The URLs of the service's tests, and a view that defers a task."""

from django.apps import apps
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from notes.models import Note

if apps.is_installed("tests.background.procrastinate_jobs"):
    from .procrastinate_jobs.tasks import defer
else:
    from .django_jobs.tasks import defer


def defer_work(request: HttpRequest) -> HttpResponse:
    """Store a note, and defer the work on it in the same transaction."""
    with transaction.atomic():
        defer(Note.objects.create(text="waits").pk)
    return HttpResponse()


urlpatterns = [path("", include("tests.urls")), path("background/defer", defer_work)]
