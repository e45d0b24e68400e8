"""Fixtures: gunicorn as in production, on the tests' own database."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.server import Gunicorn, serving, wait_for


@pytest.fixture(scope="session")
def live_database(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """The test database, without the transaction that would hide from gunicorn what is written."""
    with django_db_blocker.unblock():
        yield


@pytest.fixture(scope="session")
def server(live_database: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gunicorn]:
    """Two workers."""
    log = tmp_path_factory.mktemp("server") / "log"
    with serving(log, WEB_CONCURRENCY="2") as server:
        yield server
    wait_for(lambda: not server.backends(), "all connections to end with gunicorn")


@pytest.fixture(scope="session")
def narrow(live_database: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gunicorn]:
    """One worker with two slots, for which a request waits a second."""
    log = tmp_path_factory.mktemp("narrow") / "log"
    settings = {"WEB_CONCURRENCY": "1", "DATABASE_SLOTS": "2", "DATABASE_SLOT_TIMEOUT": "1"}
    with serving(log, **settings) as server:
        yield server
