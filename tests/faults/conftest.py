"""A PostgreSQL that may be killed, servers that use it, and a crowd of clients."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dj_database_url
import pytest
from django.conf import settings
from django.db import Error, connection

import devdb
from database import WORKER_CLASS
from tests.faults.proxy import Proxy
from tests.server import Backend, Gunicorn, crowd, serving, wait_for

LENDS = WORKER_CLASS in {"gevent", "eventlet", "asgi"}
WORKERS = 2
BOUND = WORKERS * settings.DATABASE_SLOTS


@pytest.fixture(scope="session")
def cluster(
    django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[devdb.Cluster]:
    """A PostgreSQL of these tests' own, which Django's connection here is pointed at."""
    cluster = devdb.Cluster(tmp_path_factory.mktemp("cluster"), throw_away=True)
    cluster.start()
    connection.settings_dict.update(dj_database_url.parse(cluster.url, engine="database.backend"))
    connection.settings_dict.update(OPTIONS=settings.DATABASES["default"]["OPTIONS"])
    with django_db_blocker.unblock():
        connection.close()
        yield cluster
        connection.close()
    cluster.stop()


@pytest.fixture(autouse=True)
def database_is_up(cluster: devdb.Cluster) -> Iterator[None]:
    """Each test finds the database running, and leaves it so."""
    yield
    connection.close()
    cluster.start()


@pytest.fixture
def proxy(cluster: devdb.Cluster) -> Iterator[Proxy]:
    proxy = Proxy(cluster.port)
    yield proxy
    proxy.stop()


Serve = Callable[..., Any]


@pytest.fixture
def serve(cluster: devdb.Cluster, tmp_path: Path, report: Callable[..., None]) -> Serve:
    """Starts this project's gunicorn: a context manager. `port` stands in for the database's."""

    @contextmanager
    def start(*arguments: str, port: int | None = None, **environment: str) -> Iterator[Gunicorn]:
        url = cluster.url.replace(f":{cluster.port}/", f":{port or cluster.port}/")
        wanted = {"DATABASE_URL": url, "WEB_CONCURRENCY": str(WORKERS)} | environment
        with serving(tmp_path / "log", *arguments, **wanted) as server:
            yield server
        if port is None:  # a frozen proxy keeps its own side of the connections open
            wait_for(lambda: not open_backends(server), "all connections to end with gunicorn", 10)
            report(left=len(open_backends(server)))

    return start


def open_backends(server: Gunicorn) -> list[Backend]:
    """The server's connections; none while the database is away."""
    try:
        return server.backends()
    except Error:
        connection.close()
        return []


@contextmanager
def peak(server: Gunicorn) -> Iterator[list[int]]:
    """The highest number of connections, sampled every 20 ms, in a list of one."""
    highest = [0]
    stop = threading.Event()

    def sample() -> None:
        while not stop.is_set():
            highest[0] = max(highest[0], len(open_backends(server)))
            stop.wait(0.02)
        connection.close()

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield highest
    finally:
        stop.set()
        thread.join(30)


def assert_full_capacity(server: Gunicorn) -> int:
    """As many queries run at once as there are slots, and no more connections are open."""
    server.wait_until_it_rests()
    with peak(server) as highest, crowd(server, "/query?seconds=0.2", clients=2 * BOUND) as asked:
        most = 0
        give_up = time.monotonic() + 10
        while most < BOUND and time.monotonic() < give_up:
            most = max(most, sum(backend.active for backend in open_backends(server)))
            time.sleep(0.01)
    assert set(asked.counts()) == {200}
    assert most == BOUND
    assert highest[0] <= BOUND
    return most


@pytest.fixture
def report(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """Notes a line for docs/faults.md."""

    def note(**figures: object) -> None:
        for name, figure in figures.items():
            record_property(name.replace("_", " "), in_words(figure))

    return note


def in_words(figure: object) -> str:
    if isinstance(figure, dict):
        return ", ".join(f"{number} x {answer}" for answer, number in figure.items())
    if isinstance(figure, float):
        return f"{figure:.2f} s"
    return str(figure)
