"""backend/watchdog.py: silence of the server ends a statement; a slow statement goes on."""

import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import Error, connection, connections, transaction

from connection_slots import slots
from connection_slots.backend import watchdog as module
from connection_slots.backend.watchdog import watchdog
from connection_slots.errors import is_unavailable
from tests.package.proxy import Mode, Proxy
from tests.package.slots.conftest import ask, wait_for


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A watchdog that looks often, and a server that ends statements after a second."""
    monkeypatch.setattr(module, "INTERVAL", 0.1)
    monkeypatch.setattr(module, "ANSWER_TAKES", 0.5)
    options = {**connection.settings_dict["OPTIONS"], "options": "-c statement_timeout=1s"}
    monkeypatch.setitem(connections["default"].settings_dict, "OPTIONS", options)


GREEN = type(threading.Lock()).__module__ != "_thread"


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """A proxy between the tests and PostgreSQL that can freeze."""
    database = connection.settings_dict
    before = database["PORT"]
    proxy = Proxy(int(before))
    database["PORT"] = str(proxy.port)
    yield proxy
    database["PORT"] = before
    proxy.stop()


@pytest.mark.skipif(GREEN, reason="the proxy of this process would be patched as well")
def test_silent_server_ends_the_statement(
    impatient: None, proxy: Proxy, pool: Any, caplog: pytest.LogCaptureFixture
) -> None:
    ask()
    proxy.mode = Mode.FREEZE
    began = time.monotonic()
    caplog.set_level(logging.WARNING)
    with pytest.raises(Error) as caught:
        ask("SELECT 'frozen'")
    assert 1.5 <= time.monotonic() - began < 10
    assert is_unavailable(caught.value)
    wait_for(lambda: "PostgreSQL did not answer for" in caplog.text, "the warning")
    assert "SELECT 'frozen'" in caplog.text
    proxy.heal()
    slots.end_request()
    assert ask("SELECT 1") == 1


@pytest.mark.parametrize("how", ["SET LOCAL", "set_config", "role"])
def test_statement_that_may_run_longer_goes_on(how: str, impatient: None, pool: Any) -> None:
    if how == "role":  # the server's own setting counts, and not what was configured here
        options = {**connection.settings_dict["OPTIONS"], "options": "-c statement_timeout=0"}
        connection.settings_dict["OPTIONS"] = options
    with transaction.atomic():
        if how == "SET LOCAL":
            ask("SET LOCAL statement_timeout = 0")
        elif how == "set_config":
            ask("SELECT set_config(%s, '0', true)", ["statement_timeout"])
        assert ask("SELECT 1 FROM pg_sleep(2.2)") == 1


def test_rows_that_are_read_slowly_go_on(impatient: None, pool: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT repeat('x', 1000) FROM generate_series(1, 2000)")
        for _ in range(3):
            cursor.fetchmany(10)
            time.sleep(1)
        assert len(cursor.fetchall()) == 2000 - 30
        cursor.execute("SELECT 1")  # the rows were here already, and the connection still is


def test_it_is_started_again_after_its_end(pool: Any) -> None:
    ask()
    dead = threading.Thread(target=int)
    dead.start()
    dead.join()
    watchdog._thread = dead
    slots.uninstall()
    slots.install()
    ask()
    assert watchdog._thread is not dead
    assert watchdog._thread.is_alive()


def test_exception_does_not_end_it(
    impatient: None, pool: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[int] = []

    def fail() -> None:
        calls.append(1)
        raise RuntimeError("on purpose")

    monkeypatch.setattr(watchdog, "look", fail)
    ask()
    wait_for(lambda: len(calls) > 2, "the watchdog to look again")
    assert "the watchdog could not look" in caplog.text
