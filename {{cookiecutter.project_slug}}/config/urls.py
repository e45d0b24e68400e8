"""Where requests go. /livez and /readyz are answered before: health/middleware.py."""

from django.urls import include, path

handler500 = "database.middleware.handler500"
urlpatterns = [
    path("notes/", include("notes.urls")),
]
