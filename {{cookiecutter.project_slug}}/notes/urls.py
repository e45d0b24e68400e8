"""GET /notes/ lists, POST /notes/ writes one, GET /notes/<id>/ reads it."""

from django.urls import path

from notes import views

urlpatterns = [
    path("", views.notes),
    path("<int:pk>/", views.note),
]
