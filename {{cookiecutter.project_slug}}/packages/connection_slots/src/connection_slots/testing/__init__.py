"""A pytest plugin that runs the project under gunicorn and counts its connections.

Wired with `addopts = "-p connection_slots.testing"`, beside pytest-django. Django is imported
inside the fixtures, because pytest loads this plugin before pytest-django finds the settings.

The settings module of the tests adds the test views (connection_slots.testing.urls) and puts the
port into application_name, so that the connections of each server can be told apart:

    ROOT_URLCONF = "tests.urls"
    DATABASES["default"]["OPTIONS"]["application_name"] += "-" + os.environ.get("PORT", "pytest")
"""

import os
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from pytest_django import DjangoDbBlocker

    from connection_slots.testing.server import Gunicorn


SHOWN = 4000  # characters of a log, with a test that failed


class StartGunicorn(Protocol):
    """The type of the `gunicorn` fixture."""

    def __call__(self, *arguments: str, wait: bool = True, **environment: str | None) -> "Gunicorn":
        """Start gunicorn with `arguments` and `environment`, where None unsets a variable.

        Return when it serves, or at once if `wait` is False.
        """


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the end of gunicorn's log with a test that failed: it is not kept."""
    report = yield
    for name in ("server", "small_server"):
        server = getattr(item, "funcargs", {}).get(name)
        if report.failed and server is not None:
            log = server.log.read_text(errors="replace")
            report.sections.append((f"gunicorn's log ({name})", log[-SHOWN:]))
    return report


@pytest.fixture(scope="session")
def _test_database(django_db_setup: None, django_db_blocker: "DjangoDbBlocker") -> Iterator[None]:
    """Create the test database where pytest-django did not: no collected test asks for `db`.

    The tests would run on the database that DATABASE_URL names.
    """
    from django.test.utils import setup_databases, teardown_databases

    from connection_slots.testing.server import is_test_database

    if is_test_database():
        yield
        return
    with django_db_blocker.unblock():
        created = setup_databases(verbosity=0, interactive=False)
    yield
    with django_db_blocker.unblock():
        teardown_databases(created, verbosity=0)


@pytest.fixture(scope="module")
def live_database(_test_database: None, django_db_blocker: "DjangoDbBlocker") -> Iterator[None]:
    """Allow the tests of a module to use the test database, without a transaction around each.

    A transaction would hide from gunicorn what a test writes, and is not rolled back here.
    """
    with django_db_blocker.unblock():
        yield


@pytest.fixture
def gunicorn(live_database: None, tmp_path: Path) -> Iterator[StartGunicorn]:
    """Return a function that starts gunicorn. The end of the test stops what was started."""
    from connection_slots.testing.server import Gunicorn

    started: list[Gunicorn] = []
    with ExitStack() as stack:

        def start(*arguments: str, wait: bool = True, **environment: str | None) -> Gunicorn:
            log = tmp_path / f"gunicorn-{len(started)}.log"
            server = Gunicorn(log, *arguments, **environment)
            stack.callback(server.stop)
            started.append(server)
            if wait:
                server.wait_until_serving()
            return server

        yield start


@pytest.fixture
def server(live_database: None, _server: "Gunicorn") -> "Gunicorn":
    """Return a gunicorn with two workers that all tests share."""
    return _server


@pytest.fixture
def small_server(live_database: None, _small_server: "Gunicorn") -> "Gunicorn":
    """Return a gunicorn with two slots that all tests share. A request waits 3 s for one.

    It has one worker, except with the sync worker class: there it has two with one slot each.
    """
    return _small_server


@pytest.fixture(scope="session")
def _server(
    _test_database: None,
    django_db_blocker: "DjangoDbBlocker",
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator["Gunicorn"]:
    log = tmp_path_factory.mktemp("server") / "gunicorn.log"
    with _shared(django_db_blocker, log, WEB_CONCURRENCY="2") as server:
        yield server


@pytest.fixture(scope="session")
def _small_server(
    _test_database: None,
    django_db_blocker: "DjangoDbBlocker",
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator["Gunicorn"]:
    from django.conf import settings

    log = tmp_path_factory.mktemp("small-server") / "gunicorn.log"
    workers = "2" if settings.GUNICORN_WORKER_CLASS == "sync" else "1"
    with _shared(
        django_db_blocker,
        log,
        WEB_CONCURRENCY=workers,
        DATABASE_SLOTS="2",
        DATABASE_SLOT_TIMEOUT="3",
    ) as server:
        yield server


@contextmanager
def _shared(blocker: "DjangoDbBlocker", log: Path, **environment: str) -> Iterator["Gunicorn"]:
    """Run a server during many tests, of which only some may use the database."""
    from connection_slots.testing.server import Gunicorn, wait_for

    with ExitStack() as stack:
        with blocker.unblock():
            server = Gunicorn(log, **environment)
            stack.callback(server.stop)
            server.wait_until_serving()
        yield server
    with blocker.unblock():
        if "DATABASE_POOLER" not in os.environ:  # PgBouncer keeps its connections
            wait_for(lambda: not server.connections(), "gunicorn's connections to end")
