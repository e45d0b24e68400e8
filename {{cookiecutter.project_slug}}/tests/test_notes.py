"""The example app. Delete this file with it."""

import pytest
from connection_slots.testing.clients import load, statuses
from connection_slots.testing.server import Gunicorn
from django.test import Client


@pytest.mark.django_db
def test_note_is_written_and_read(client: Client) -> None:
    written = client.post("/notes/", {"text": "hello"})
    assert written.status_code == 201
    note = written.json()
    assert note["text"] == "hello"
    assert client.get(f"/notes/{note['id']}/").json() == note
    assert client.get("/notes/").json() == {"notes": [note]}


@pytest.mark.django_db
@pytest.mark.parametrize("text", ["", "x" * 201, "a\0b"])
def test_wrong_text_is_refused(client: Client, text: str) -> None:
    refused = client.post("/notes/", {"text": text})
    assert refused.status_code == 400
    assert refused.json()["errors"]["text"]


@pytest.mark.django_db
@pytest.mark.parametrize("pk", [1, 2**63])
def test_missing_note_is_not_found(client: Client, pk: int) -> None:
    assert client.get(f"/notes/{pk}/").status_code == 404


def test_many_clients_are_served(server: Gunicorn) -> None:
    assert statuses(load(server, "/notes/", clients=20, requests=5)) == {200: 100}
