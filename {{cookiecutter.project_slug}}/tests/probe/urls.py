"""The project's URLs and the probe's."""

from django.urls import include, path

from tests.probe import views

urlpatterns = [
    path("", include("config.urls")),
    path("query", views.query),
    path("leave/<str:what>", views.leave),
]
