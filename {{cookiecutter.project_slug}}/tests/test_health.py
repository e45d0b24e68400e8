"""/livez and /readyz, without the network; test_boot.py has them without a database."""

import pytest
from django.test import Client


def test_livez_needs_no_database(client: Client) -> None:
    # pytest-django lets no test reach the database that does not ask for it.
    assert client.get("/livez").content == b"ok\n"


@pytest.mark.django_db
def test_readyz_asks_the_database(client: Client) -> None:
    assert client.get("/readyz").status_code == 200


def test_probes_come_by_address_and_plain_http(client: Client, settings: object) -> None:
    settings.SECURE_SSL_REDIRECT = True  # type: ignore[attr-defined]
    assert client.get("/livez", headers={"host": "10.0.0.7:8000"}).status_code == 200


def test_health_is_only_read(client: Client) -> None:
    assert client.post("/livez").status_code == 405
    assert client.post("/readyz").status_code == 405
