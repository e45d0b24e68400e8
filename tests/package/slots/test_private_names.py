"""The private names of other projects still mean what the package takes them for.

The README of connection_slots lists them. A failure here means that an upgrade needs a look there.
"""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import Mock

import pytest
from asgiref.sync import SyncToAsync, ThreadSensitiveContext, sync_to_async
from django.core.signals import request_finished, request_started
from django.db import Error, close_old_connections, connection, reset_queries, transaction
from django.db.backends.postgresql.base import DatabaseWrapper
from django.db.backends.postgresql.psycopg_any import is_psycopg3
from gunicorn.arbiter import Arbiter
from gunicorn.config import KNOWN_SETTINGS, Config


@pytest.fixture
def django() -> Any:
    """Django's own backend, connected, without anything of ours."""
    settings = connection.settings_dict | {"ENGINE": "django.db.backends.postgresql"}
    wrapper = DatabaseWrapper(settings, "private names")
    wrapper.connect()
    yield wrapper
    wrapper.in_atomic_block = wrapper.closed_in_transaction = False
    wrapper.close()


def test_thread_ident_is_the_creators(django: Any) -> None:
    assert django._thread_ident == threading.get_ident()


def test_public_methods_end_in_private_ones(django: Any) -> None:
    for name in ("_set_autocommit", "_commit", "_rollback", "_cursor"):
        setattr(django, name, Mock())
    django.set_autocommit(False)
    django.commit()
    django.rollback()
    django.cursor()
    django.chunked_cursor()
    django._set_autocommit.assert_called_once_with(False)
    django._commit.assert_called_once_with()
    django._rollback.assert_called_once_with()
    assert django._cursor.call_count == 2


def test_block_that_was_closed_stays_failed(django: Any) -> None:
    with django.cursor() as cursor:
        cursor.execute("BEGIN")
    django.in_atomic_block = True
    django.close()
    assert django.closed_in_transaction
    assert django.needs_rollback
    assert django.connection is not None
    with pytest.raises((Error, transaction.TransactionManagementError)):
        django.cursor().execute("SELECT 1")


def test_new_wrapper_has_the_state_that_a_request_begins_with(django: Any) -> None:
    """SlotsMixin resets these attributes, and Django would ignore one that it has renamed."""
    state = vars(django)
    for name in ("in_atomic_block", "closed_in_transaction", "needs_rollback", "errors_occurred"):
        assert state[name] is False
    for name in ("savepoint_ids", "atomic_blocks", "run_on_commit", "execute_wrappers"):
        assert state[name] == []
    assert state["run_commit_hooks_on_set_autocommit_on"] in (True, False)
    assert isinstance(state["close_at"], float)


def test_execute_wrapper_uses_the_end_of_the_list(django: Any) -> None:
    def standing(execute: Any, *rest: Any) -> Any:
        return execute(*rest)

    def own(execute: Any, *rest: Any) -> Any:
        return execute(*rest)

    django.execute_wrappers.append(standing)
    with django.execute_wrapper(own):
        assert django.execute_wrappers == [standing, own]
    assert django.execute_wrappers == [standing]


@pytest.mark.parametrize(
    ("signal", "name"),
    [
        (request_started, reset_queries),
        (request_started, close_old_connections),
        (request_finished, close_old_connections),
    ],
)
def test_receivers_can_be_disconnected(signal: Any, name: Any) -> None:
    was_connected = signal.disconnect(name)  # SlotsApplication may have done it in this process
    signal.connect(name)
    assert signal.disconnect(name)
    if was_connected:
        signal.connect(name)


def test_asgiref_uses_the_given_executors(monkeypatch: pytest.MonkeyPatch) -> None:
    def thread_name() -> str:
        return threading.current_thread().name

    async def names() -> list[str]:
        outside = await sync_to_async(thread_name)()
        async with ThreadSensitiveContext(executor=given):
            return [outside, await sync_to_async(thread_name)()]

    with ThreadPoolExecutor(1, "given") as given, ThreadPoolExecutor(1, "single") as single:
        monkeypatch.setattr(SyncToAsync, "single_thread_executor", single)
        assert asyncio.run(names()) == ["single_0", "given_0"]


def test_asgiref_refuses_calls_after_the_end_of_a_context() -> None:
    async def ended() -> ThreadSensitiveContext:
        context = ThreadSensitiveContext(executor=given)
        async with context:
            assert SyncToAsync.context_to_thread_executor[context] is given
        return context

    with ThreadPoolExecutor(1) as given:
        context = asyncio.run(ended())
    assert context._exited
    assert context not in SyncToAsync.context_to_thread_executor


@pytest.mark.skipif(not is_psycopg3, reason="psycopg2's named cursors use cursor_factory")
def test_class_of_a_server_side_cursor_can_be_assigned(django: Any) -> None:
    cursor = django.create_cursor("private")
    cursor.__class__ = type("Subclass", (type(cursor),), {})
    cursor.execute("SELECT 1")
    assert cursor.fetchone() == (1,)
    cursor.close()


@pytest.mark.skipif(not is_psycopg3, reason="psycopg2 has a wait callback")
def test_psycopg_has_its_wait_functions() -> None:
    from psycopg import waiting

    assert callable(waiting.wait)
    assert callable(waiting.wait_c)


def test_gunicorn_reads_its_configuration_this_way() -> None:
    config = Config()
    assert config.worker_class_str == "sync"
    config.set("threads", 2)
    assert config.worker_class_str == "gthread"
    assert config.address == [("127.0.0.1", 8000)]
    assert config.get_cmd_args_from_env() == []
    defaults = {setting.name: setting.default for setting in KNOWN_SETTINGS}
    for hook in ("post_worker_init", "pre_request", "post_request"):
        assert getattr(config, hook) is defaults[hook]


def test_gunicorn_reload_reads_settings_after_on_reload() -> None:
    names = Arbiter.reload.__code__.co_names
    for name in ("workers", "graceful_timeout"):
        assert names.index("on_reload") < names.index(name)
