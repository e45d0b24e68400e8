"""The project's URLs and the probe's."""

from django.urls import include, path

from tests.probe import views

{% if cookiecutter.__lends %}
handler404 = views.not_found

{% endif %}
urlpatterns = [
    path("", include("config.urls")),
    path("query", views.query),
    path("session", views.session),
    path("leave/<str:what>", views.leave),
    path("spawn/<str:what>", views.spawn),
{% if cookiecutter.__lends %}
    path("late", views.late),
    path("missing", views.missing),
{% endif %}
    path("stream", views.stream),
{% if cookiecutter.worker_class == 'asgi' %}
    path("pool", views.pool),
    path("task", views.task),
    path("signals", views.signals),
{% endif %}
]
