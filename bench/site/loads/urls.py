"""The views under load, and the generated project's own: its `notes/` is the load "session"."""

from django.conf import settings
from django.urls import include, path

from loads import views

if "connection_slots" in settings.INSTALLED_APPS:
    handler500 = "connection_slots.middleware.handler500"
urlpatterns = [
    path("db", views.db),
    path("queries", views.queries),
    path("fortunes", views.fortunes),
    path("updates", views.updates),
    path("mixed", views.mixed),
    path("hold", views.hold),
    path("", include("config.urls")),
]
