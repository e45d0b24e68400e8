"""Routes. connection_slots.health.HealthMiddleware answers /livez and /readyz before them."""

from django.urls import include, path

handler500 = "connection_slots.middleware.handler500"
urlpatterns = [
    path("notes/", include("notes.urls")),
]
