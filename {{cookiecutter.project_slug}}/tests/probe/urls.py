"""The project's URLs and the probe's."""

from django.urls import include, path

from tests.probe import views

urlpatterns = [
    path("", include("config.urls")),
    path("query", views.query),
    path("session", views.session),
    path("leave/<str:what>", views.leave),
    path("spawn/<str:what>", views.spawn),
    path("stream", views.stream),
{% if cookiecutter.worker_class == 'asgi' %}
    path("pool", views.pool),
    path("task", views.task),
    path("signals", views.signals),
{% endif %}
]
