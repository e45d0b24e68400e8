"""The same for all; who has an event loop waits on it."""

import os

from django.urls import path

from measured import views

urlpatterns = [
    path("query", views.query),
    path("slow", views.slow),
    path("wait", views.wait_async if os.environ["BENCH_GATEWAY"] == "asgi" else views.wait),
    path("plain", views.plain),
]
