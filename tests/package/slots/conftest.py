"""Django without a project, slots for one test, and actors: threads that do what they are told."""

import itertools
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import dj_database_url
import django
import pytest
from django.conf import settings

if not settings.configured:
    database = dj_database_url.parse(os.environ["DATABASE_URL"])
    options = {"application_name": "slots", "options": "-c statement_timeout=20s"}
    alias = {**database, "ENGINE": "connection_slots.backend", "OPTIONS": options}
    alias |= {"CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}
    settings.configure(
        BASE_DIR=os.path.dirname(__file__),
        SECRET_KEY="for tests only",
        INSTALLED_APPS=["connection_slots", "tests.package.slots.shop"],
        DATABASES={"default": alias, "other": {**alias, "OPTIONS": {**options}}},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        DATABASE_SLOTS=2,
        DATABASE_SLOT_TIMEOUT=10.0,
        GUNICORN_WORKER_CLASS="gthread",
        USE_TZ=True,
    )
    django.setup()

from django.db import connection, connections
from django.test import override_settings

from connection_slots import slots

DEADLINE = 20.0


@pytest.fixture(scope="session", autouse=True)
def tables() -> None:
    """Create the tables of the shop's models once."""
    from django.apps import apps

    with connection.schema_editor() as editor:
        for model in apps.get_app_config("shop").get_models():
            editor.create_model(model)
    connections.close_all()


@pytest.fixture
def pool() -> Iterator[Any]:
    """Two slots, installed for this test."""
    slots.install()
    yield slots.pool
    slots.uninstall()
    connections.close_all()


@pytest.fixture
def pooled(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Both databases are behind a transaction pooler, as the settings say."""
    for alias in connections:
        database = connections.settings[alias]
        monkeypatch.setitem(database, "DISABLE_SERVER_SIDE_CURSORS", True)
        monkeypatch.setitem(database, "OPTIONS", {"application_name": "slots"})
    with override_settings(DATABASE_POOLER="transaction"):
        yield


class Actor:
    """A thread, or greenlet in those flavours, that runs functions one at a time."""

    numbers = itertools.count()

    def __init__(self) -> None:
        self._orders: queue.Queue[Any] = queue.Queue()
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    def start(self, function: Callable[..., Any], *arguments: Any) -> "queue.Queue[Any]":
        """Begin to run `function`; its outcome comes through the returned queue."""
        outcome: queue.Queue[Any] = queue.Queue()
        self._orders.put((function, arguments, outcome))
        return outcome

    def do(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run `function` and return its result, or raise its exception."""
        return result(self.start(function, *arguments))

    def end(self) -> None:
        """End the thread."""
        self._orders.put(None)
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive()

    def _live(self) -> None:
        while (order := self._orders.get()) is not None:
            function, arguments, outcome = order
            try:
                outcome.put((function(*arguments), None))
            except BaseException as error:
                outcome.put((None, error))
            del function, arguments, outcome, order


def result(outcome: "queue.Queue[Any]") -> Any:
    """Return what Actor.start() leads to, or raise its exception."""
    value, error = outcome.get(timeout=DEADLINE)
    if error is not None:
        raise error
    return value


@pytest.fixture
def actor() -> Iterator[Callable[[], Actor]]:
    """Make actors, which end with the test."""
    made: list[Actor] = []

    def make() -> Actor:
        made.append(Actor())
        return made[-1]

    yield make
    for one in made:
        one.start(slots.end_request)
        one.end()


def ask(
    sql: str = "SELECT pg_backend_pid()", parameters: Any = None, using: str = "default"
) -> Any:
    """Return the first column of the first row."""
    with connections[using].cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchone()[0] if cursor.description else None


def wait_for(condition: Callable[[], Any], what: str, seconds: float = DEADLINE) -> None:
    """Return when `condition()` holds. An AssertionError names `what` was waited for."""
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, f"waited {seconds:g} s for {what}"
        time.sleep(0.005)


def held() -> int:
    """Return how many slots are held."""
    assert slots.pool is not None
    return slots.pool.counts()["held"]
