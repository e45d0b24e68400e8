"""Routes of the test views. The tests' ROOT_URLCONF includes them below a prefix."""

from django.conf import settings
from django.urls import path

from connection_slots.testing import views

urlpatterns = [
    path("query", views.query),
    path("atomic", views.atomic),
    path("hold", views.hold),
    path("touch", views.touch),
    path("session", views.session),
    path("leave/<str:what>", views.leave),
    path("error", views.error),
    path("late", views.late),
    path("spawn/<str:what>", views.spawn),
]
if settings.GUNICORN_WORKER_CLASS == "asgi":
    from connection_slots.testing import async_views

    urlpatterns += [
        path("wait", async_views.wait),
        path("stream", async_views.stream),
        path("pool", async_views.pool),
        path("task", async_views.task),
        path("signals", async_views.signals),
    ]
else:
    urlpatterns += [
        path("wait", views.wait),
        path("stream", views.stream),
    ]
