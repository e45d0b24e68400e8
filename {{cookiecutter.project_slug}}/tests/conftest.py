"""Fixtures: gunicorn as in production, on the tests' own database."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.server import Gunicorn, serving, wait_for


@pytest.fixture(scope="module")
def live_database(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """The test database, without the transaction that would hide from gunicorn what is written."""
    with django_db_blocker.unblock():
        yield


@pytest.fixture(scope="session")
def server(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gunicorn]:
    """Two workers."""
    log = tmp_path_factory.mktemp("server") / "log"
    with _kept(django_db_blocker, log, WEB_CONCURRENCY="2") as server:
        yield server


@pytest.fixture(scope="session")
def narrow(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gunicorn]:
    """One worker with two slots, for which a request waits a second."""
    log = tmp_path_factory.mktemp("narrow") / "log"
    settings = {"WEB_CONCURRENCY": "1", "DATABASE_SLOTS": "2", "DATABASE_SLOT_TIMEOUT": "1"}
    with _kept(django_db_blocker, log, **settings) as server:
        yield server


@contextmanager
def _kept(blocker: Any, log: Path, **environment: str) -> Iterator[Gunicorn]:
    """A server for the whole session. Its tests reach the database, the others still do not."""
    manager = serving(log, **environment)
    with blocker.unblock():
        server = manager.__enter__()
    yield server
    with blocker.unblock():
        manager.__exit__(None, None, None)
        wait_for(lambda: not server.backends(), "all connections to end with gunicorn")
