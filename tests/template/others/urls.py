"""The URLs of the service's tests, and a view for the installed software."""

from django.apps import apps
from django.conf import settings
from django.urls import include, path

from . import views

urlpatterns = [path("", include("tests.urls")), path("others/page", views.page)]
if settings.GUNICORN_WORKER_CLASS == "asgi":
    urlpatterns += [path("others/async-page", views.async_page)]
if apps.is_installed("rest_framework"):
    from .api import Notes

    urlpatterns += [path("others/api", Notes.as_view())]
if apps.is_installed("debug_toolbar"):
    urlpatterns += [path("__debug__/", include("debug_toolbar.urls"))]
if apps.is_installed("django.contrib.gis"):
    urlpatterns += [path("others/places", views.places)]
