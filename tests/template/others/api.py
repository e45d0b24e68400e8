"""An API with Django REST framework: a serializer that writes, and a list with pages."""

from typing import Any

from notes.models import Note
from rest_framework import generics, pagination, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from .views import mark, use_database


class NoteSerializer(serializers.ModelSerializer):
    class Meta:
        model = Note
        fields = ("id", "text")


class Pages(pagination.PageNumberPagination):
    page_size = 5


class Notes(generics.ListAPIView):
    queryset = Note.objects.order_by("id")
    serializer_class = NoteSerializer
    pagination_class = Pages

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Write a note, and answer a page of them."""
        serializer = NoteSerializer(data={"text": "through a serializer"})
        serializer.is_valid(raise_exception=True)
        note = serializer.save()
        response = super().list(request, *args, **kwargs)
        note.delete()
        return mark(response, use_database())
