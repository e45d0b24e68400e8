"""Fixtures: a PostgreSQL that tests may stop, gunicorns that use it, and notes for a page."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import dj_database_url
import pytest
from django.conf import settings
from django.db import connection

from connection_slots.testing.server import Gunicorn
from connection_slots.testing.waiting import wait_for
from devdb import Cluster
from tests.package.proxy import Proxy

from .support import PROMPT, Report, open_connections, serve

if TYPE_CHECKING:
    from pytest_django import DjangoDbBlocker

# A few more than the service needs while its workers are replaced, so that they are soon taken.
MAX_CONNECTIONS = 40


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "essential: part of the template's gate, for two projects")


@pytest.fixture(scope="session")
def cluster(
    django_db_blocker: "DjangoDbBlocker", tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """Run a PostgreSQL for these tests, and let Django connect to it."""
    directory = tmp_path_factory.mktemp("cluster")
    with Cluster(directory, throw_away=True, max_connections=MAX_CONNECTIONS) as cluster:
        found = dj_database_url.parse(cluster.url, engine="connection_slots.backend")
        options = settings.DATABASES["default"]["OPTIONS"]
        connection.settings_dict.update({**found, "OPTIONS": options})
        with django_db_blocker.unblock():
            connection.close()
            yield cluster
            connection.close()


@pytest.fixture(autouse=True)
def _running_database(cluster: Cluster) -> Iterator[None]:
    """Start the database again after each test."""
    yield
    connection.close()
    cluster.start()


@pytest.fixture
def proxy(cluster: Cluster) -> Iterator[Proxy]:
    """Return a proxy before the database that can stop to answer."""
    proxy = Proxy(cluster.port)
    yield proxy
    proxy.stop()


class Serve(Protocol):
    """The type of the `service` fixture."""

    def __call__(
        self, *arguments: str, port: int | None = None, **environment: str
    ) -> AbstractContextManager[Gunicorn]:
        """Run gunicorn for a block, and assert that its connections end with it."""


@pytest.fixture
def service(cluster: Cluster, tmp_path: Path) -> Serve:
    """Return a function that runs gunicorn with `arguments` and `environment` for a block.

    `port` is that of a proxy in place of the database's.
    """

    @contextmanager
    def start(*arguments: str, port: int | None = None, **environment: str) -> Iterator[Gunicorn]:
        log = tmp_path / "gunicorn.log"
        with serve(cluster, log, *arguments, port=port, **environment) as server:
            yield server
        if port is None:  # a frozen proxy keeps its own side of the connections open
            wait_for(lambda: not open_connections(server), "gunicorn's connections to end")

    return start


Limit = Callable[[], float]


@pytest.fixture
def prompt_limit() -> Iterator[Limit]:
    """Return a function that returns the seconds in which `/livez` has to be answered.

    They are PROMPT and the longest time for which the machine stopped. A service that blocks does
    not stop the thread that measures this.
    """
    longest, end = 0.0, threading.Event()

    def measure() -> None:
        nonlocal longest
        before = time.monotonic()
        while not end.wait(0.01):
            now = time.monotonic()
            longest, before = max(longest, now - before), now

    with ThreadPoolExecutor(1) as thread:
        thread.submit(measure)
        yield lambda: PROMPT + longest
        end.set()


@pytest.fixture
def report(record_property: Callable[[str, object], None]) -> Report:
    """Return a function that notes figures for docs/results/faults.md."""

    def note(**figures: object) -> None:
        for name, figure in figures.items():
            record_property(name.replace("_", " "), _in_words(figure))

    return note


def _in_words(figure: object) -> str:
    if isinstance(figure, dict):
        return ", ".join(f"{number} x {answered}" for answered, number in figure.items())
    if isinstance(figure, list):
        return ", ".join(map(str, figure))
    return f"{figure:.2f} s" if isinstance(figure, float) else str(figure)
