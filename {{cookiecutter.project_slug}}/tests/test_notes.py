"""The example app. Goes when it goes."""

import pytest
from django.test import Client

from tests.server import Gunicorn, load, statuses


@pytest.mark.django_db
def test_a_note_is_written_and_read(client: Client) -> None:
    written = client.post("/notes/", {"text": "hello"})
    assert written.status_code == 201
    note = written.json()
    assert note["text"] == "hello"
    assert client.get(f"/notes/{note['id']}/").json() == note
    assert client.get("/notes/").json() == {"notes": [note]}


@pytest.mark.django_db
@pytest.mark.parametrize("text", ["", "x" * 201, "a\0b"])
def test_a_wrong_text_is_refused_with_the_reason(client: Client, text: str) -> None:
    refused = client.post("/notes/", {"text": text})
    assert refused.status_code == 400
    assert refused.json()["errors"]["text"]


@pytest.mark.django_db
@pytest.mark.parametrize("pk", [1, 2**63])
def test_a_note_that_does_not_exist_is_not_found(client: Client, pk: int) -> None:
    assert client.get(f"/notes/{pk}/").status_code == 404


@pytest.mark.usefixtures("live_database")
def test_notes_are_served_to_a_crowd(server: Gunicorn) -> None:
    assert statuses(load(server, "/notes/", clients=20, requests=5)) == {200: 100}
