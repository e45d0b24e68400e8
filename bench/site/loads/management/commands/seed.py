"""`manage.py seed` fills the tables, signs a user in, and prints the key of the session."""

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand
from django.test import Client
from notes.models import Note

from loads.models import Fortune, World
from loads.views import ROWS

FORTUNES = 12
NOTES = 20  # as many as the page shows


class Command(BaseCommand):
    help = __doc__

    def handle(self, **options: object) -> None:
        World.objects.bulk_create(World(number=key) for key in range(ROWS))
        Fortune.objects.bulk_create(
            Fortune(message=f"<b>Fortune {number}</b> favours the prepared \N{EN DASH} always")
            for number in range(FORTUNES)
        )
        Note.objects.bulk_create(Note(text=f"Note {number}") for number in range(NOTES))
        client = Client()
        client.force_login(get_user_model().objects.create_user("user"))
        self.stdout.write(client.cookies["sessionid"].value)
