"""Where requests go. /livez and /readyz are answered before: health/middleware.py."""

from django.urls import include, path

urlpatterns = [
    path("notes/", include("notes.urls")),
]
