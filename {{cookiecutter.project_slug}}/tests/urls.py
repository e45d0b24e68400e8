"""The service's URLs and the test views."""

from django.urls import include, path

from config.urls import *  # noqa: F403 - the handlers too
from config.urls import urlpatterns as service

urlpatterns = [*service, path("test/", include("connection_slots.testing.urls"))]
