"""backend/base.py: when a slot is held, when it is released, and whose connection it is."""

import gc
import logging
import os
import threading
import time
from collections.abc import Callable, Generator
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation
from django.db import DatabaseError, Error, connection, connections, transaction
from django.db.backends.postgresql import base as postgresql
from django.db.backends.postgresql.psycopg_any import is_psycopg3
from django.db.backends.signals import connection_created

from connection_slots import slots
from connection_slots.backend.base import SlotsMixin
from connection_slots.errors import DatabaseUnavailable, SlotTimeout
from tests.package.slots.conftest import DEADLINE, Actor, ask, held, result, wait_for

NewActor = Callable[[], Actor]


def all_free() -> bool:
    """Return True if all slots are free. current_owner() makes eventlet free local storage."""
    assert slots.pool is not None
    slots.current_owner()
    return slots.pool.counts()["free"] == slots.pool.size


# When a slot is held


def test_statement_releases_its_slot(pool: Any) -> None:
    ask()
    assert pool.counts() == {"free": 1, "idle": 1, "held": 0, "waiting": 0}


def test_open_cursor_holds_the_slot(pool: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("SELECT 1")
    assert held() == 1
    cursor.close()
    assert held() == 0


def test_second_cursor_goes_on_holding(pool: Any) -> None:
    with connection.cursor():
        with connection.cursor():
            pass
        assert held() == 1
    assert held() == 0


def test_collected_cursor_releases_the_slot(pool: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("SELECT 1")
    del cursor
    gc.collect()
    assert held() == 0


def test_server_side_cursor_holds_the_slot(pool: Any) -> None:
    cursor = connection.chunked_cursor()
    cursor.execute("SELECT generate_series(1, 1000)")
    cursor.fetchmany(10)
    assert held() == 1
    cursor.close()
    assert held() == 0


def test_atomic_holds_the_slot(pool: Any) -> None:
    with transaction.atomic():
        first = ask()
        assert held() == 1
        with transaction.atomic():
            assert ask() == first
        assert held() == 1
    assert held() == 0


def test_failed_atomic_releases_the_slot(pool: Any) -> None:
    with pytest.raises(Error), transaction.atomic():
        ask("SELECT 1 / 0")
    assert held() == 0
    assert ask("SELECT 1") == 1


def test_begin_holds_the_slot(pool: Any) -> None:
    ask("BEGIN")
    assert held() == 1
    ask("COMMIT")
    assert held() == 0


def test_autocommit_off_holds_the_slot(pool: Any) -> None:
    connection.set_autocommit(False)
    assert held() == 1
    connection.rollback()
    connection.set_autocommit(True)
    assert held() == 0


def test_changed_session_holds_the_slot_until_the_request_ends(pool: Any) -> None:
    ask("SET search_path TO pg_catalog")
    assert held() == 1
    slots.end_request()
    assert pool.counts()["free"] == 2


def test_on_commit_may_query(pool: Any) -> None:
    seen = []
    with transaction.atomic():
        transaction.on_commit(lambda: seen.append(ask("SELECT 42")))
    assert seen == [42]
    assert held() == 0


@pytest.mark.parametrize(
    "touch",
    [
        lambda: connection.vendor,
        lambda: connection.get_autocommit(),
        lambda: connection.queries,
        lambda: connection.in_atomic_block,
        lambda: connection.execute_wrapper(print).__enter__(),
        lambda: connection.close(),
        lambda: connection.close_if_unusable_or_obsolete(),
        lambda: connection.on_commit(lambda: None),
        lambda: transaction.get_autocommit(),
    ],
)
def test_touch_takes_no_slot(pool: Any, touch: Callable[[], object]) -> None:
    touch()
    assert pool.counts()["free"] == 2
    connection.execute_wrappers.clear()


def test_two_aliases_share_one_slot(pool: Any) -> None:
    with connection.cursor(), connections["other"].cursor():
        assert held() == 1
    assert pool.counts() == {"free": 1, "idle": 1, "held": 0, "waiting": 0}
    assert ask() != ask(using="other")


# Whose connection it is


def test_same_request_keeps_its_connection(pool: Any) -> None:
    assert len({ask() for _ in range(20)}) == 1


def test_connection_outlives_its_thread(pool: Any, actor: NewActor) -> None:
    pids = set()
    for _ in range(3):
        one = Actor()
        pids.add(one.do(ask))
        one.end()
        wait_for(all_free, "the slot of the ended thread")
    assert len(pids) == 1


def test_waiter_takes_over_what_lies_idle(pool: Any, actor: NewActor) -> None:
    first, second, third = actor(), actor(), actor()
    pids = {first.do(ask), second.do(ask)}
    assert third.do(ask) in pids
    assert first.do(ask) in pids
    assert held() == 0


def test_two_wrappers_never_share_a_connection(pool: Any, actor: NewActor) -> None:
    first, second, third = actor(), actor(), actor()
    first.do(ask)
    second.do(ask)
    third.do(ask)
    attached = [one.do(lambda: connection.connection) for one in (first, second, third)]
    assert attached[2] is not None
    assert attached.count(None) == 1
    assert len({id(raw) for raw in attached if raw}) == 2


def test_released_wrapper_does_not_answer_for_another(pool: Any, actor: NewActor) -> None:
    """A transaction of one owner is not seen or ended by the former owner of its slot."""
    first, second, third = actor(), actor(), actor()
    for one in (first, second):
        one.do(ask)
    third.do(lambda: transaction.set_autocommit(False))
    third.do(ask, "CREATE TABLE unseen ()")
    first.do(lambda: connection.rollback())
    second.do(lambda: connection.close())
    assert third.do(ask, "SELECT to_regclass('unseen') IS NOT NULL") is True
    third.do(lambda: connection.rollback())
    third.do(lambda: transaction.set_autocommit(True))


@pytest.mark.parametrize("name", ["commit", "rollback", "is_usable"])
def test_idle_slot_is_held_for_methods_that_do_not_ask(
    pool: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask()
    seen = []

    def note(wrapper: Any) -> bool:
        seen.append((held(), wrapper.connection is not None))
        return True

    monkeypatch.setattr(postgresql.DatabaseWrapper, name, note)
    assert held() == 0
    getattr(connection, name)()
    assert seen == [(1, True)]
    assert held() == 0


def test_finalizer_at_the_end_of_a_request_releases_nothing(
    pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slot was in the list of the free ones and in that of the idle ones, for two owners."""
    cursors = [connection.cursor()]
    cursors[0].execute("SELECT 1")
    end = SlotsMixin.end_request

    def collect_first(wrapper: Any, has_slot: bool) -> bool:
        cursors.clear()
        gc.collect()
        return bool(end(wrapper, has_slot))

    monkeypatch.setattr(SlotsMixin, "end_request", collect_first)
    slots.end_request()
    assert not cursors
    assert (pool.counts()["free"], pool.counts()["idle"]) == (2, 0)


def test_wrong_thread_takes_no_slot(
    pool: Any, actor: NewActor, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask()
    mine: Any = connections["default"]
    monkeypatch.setattr(pool, "claim", lambda owner: pytest.fail("it claimed the slot"))
    for call in (mine.commit, mine.rollback, mine.is_usable):
        with pytest.raises(DatabaseError, match="same thread"):
            actor().do(call)


def test_cursor_that_ends_during_commit_releases_no_slot(
    pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cursor = connection.cursor()
    cursor.execute("SELECT 1")
    seen = []

    def close_cursor(wrapper: Any) -> None:
        cursor.close()
        seen.append(held())

    monkeypatch.setattr(postgresql.DatabaseWrapper, "commit", close_cursor)
    connection.commit()
    assert seen == [1]
    assert held() == 0


def test_other_thread_that_ends_a_block_releases_no_slot(pool: Any, actor: NewActor) -> None:
    """The garbage collector may end a generator on any thread."""

    def holding() -> Generator[None, None, None]:
        with slots.hold():
            yield

    one, block = actor(), holding()
    one.do(slots.begin_request)
    one.do(next, block)
    actor().do(block.close)
    assert held() == 1
    one.do(ask)
    assert held() == 0


def test_busy_slots_time_out(pool: Any, actor: NewActor) -> None:
    pool.timeout = 0.2
    for one in (actor(), actor()):
        one.do(lambda: transaction.set_autocommit(False))
    with pytest.raises(SlotTimeout):
        ask()
    assert pool.counts()["waiting"] == 0


def test_end_of_request_frees_the_slot_whatever_its_state(pool: Any) -> None:
    ask("BEGIN")
    connection.chunked_cursor().execute("SELECT 1")
    slots.end_request()
    assert pool.counts()["free"] == 2
    assert ask("SELECT pg_current_xact_id_if_assigned() IS NULL") is True


def test_thread_that_ends_in_a_transaction_leaves_nothing(pool: Any) -> None:
    one = Actor()
    dirty = one.do(ask)
    one.do(ask, "BEGIN")
    one.end()
    wait_for(all_free, "the slot of the ended thread")
    assert ask() != dirty


def test_end_of_request_closes_what_is_too_old(pool: Any) -> None:
    before = ask()
    mine: Any = connections["default"]
    mine._session.close_at = 0.0
    slots.end_request()
    assert ask() != before


def test_connection_that_the_server_closed_is_replaced(pool: Any, actor: NewActor) -> None:
    pid = ask()
    slots.end_request()
    ask("SELECT pg_terminate_backend(%s, 5000)", [pid], using="other")
    time.sleep(0.1)
    assert ask() != pid


def test_copy_has_a_connection_of_its_own(pool: Any) -> None:
    with connection.cursor():
        copy = connection.copy()
        with copy.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            assert cursor.fetchone()[0] != ask()
    slots.end_request()
    assert sum(len(slot.resources) for slot in pool.slots) == 1


# Connecting


def test_failed_connect_keeps_no_slot(pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connection_slots.backend.base.RESTART_TAKES", 0.0)
    monkeypatch.setitem(connection.settings_dict, "PORT", "1")
    with pytest.raises(DatabaseUnavailable):
        ask()
    assert held() == 0
    monkeypatch.undo()
    assert ask("SELECT 1") == 1


def test_receiver_that_fails_leaves_no_connection(pool: Any) -> None:
    def fail(**kwargs: object) -> None:
        raise ValueError("on purpose")

    connection_created.connect(fail)
    try:
        with pytest.raises(ValueError, match="on purpose"):
            ask()
        assert held() == 0
        assert connection.connection is None
        assert not any(slot.resources for slot in pool.slots)
    finally:
        connection_created.disconnect(fail)
    assert ask("SELECT 1") == 1


def test_what_a_receiver_adds_stays_with_the_connection(pool: Any, actor: NewActor) -> None:
    seen: list[str] = []

    def note(execute: Any, sql: str, *rest: Any) -> Any:
        seen.append(sql)
        return execute(sql, *rest)

    def add(connection: Any, **kwargs: object) -> None:
        connection.execute_wrappers.append(note)

    connection_created.connect(add)
    try:
        first, second = actor(), actor()
        for one in (first, second):
            one.do(ask, "SELECT 1")
            one.do(slots.end_request)
        assert seen == ["SELECT 1", "SELECT 1"]
        assert sum(len(slot.resources) for slot in pool.slots) == 1
    finally:
        connection_created.disconnect(add)


def test_wrapper_of_a_request_does_not_see_the_next(pool: Any) -> None:
    seen: list[str] = []

    def note(execute: Any, sql: str, *rest: Any) -> Any:
        seen.append(sql)
        return execute(sql, *rest)

    ask()
    connection.execute_wrappers.append(note)
    ask("SELECT 1")
    slots.end_request()
    ask("SELECT 2")
    assert seen == ["SELECT 1"]


@pytest.mark.parametrize("add", ["append", "insert", "extend"])
def test_wrapper_added_without_a_query_does_not_see_the_next_request(pool: Any, add: str) -> None:
    def note(execute: Any, *rest: Any) -> Any:
        return execute(*rest)

    ask()
    slots.end_request()
    arguments = {"append": (note,), "insert": (0, note), "extend": ([note],)}[add]
    getattr(connection.execute_wrappers, add)(*arguments)
    slots.end_request()
    assert connection.execute_wrappers == []


def test_connect_inside_an_execute_wrapper(pool: Any) -> None:
    """The block removes its own wrapper and not the one that a receiver has added meanwhile."""

    def standing(execute: Any, *rest: Any) -> Any:
        return execute(*rest)

    def passing(execute: Any, *rest: Any) -> Any:
        return execute(*rest)

    def add(connection: Any, **kwargs: object) -> None:
        connection.execute_wrappers.append(standing)

    connection_created.connect(add)
    try:
        with connection.execute_wrapper(passing):
            ask()
        assert connection.execute_wrappers == [standing]
    finally:
        connection_created.disconnect(add)


# Sharing


def test_shared_connection_belongs_to_nobody_else(pool: Any, actor: NewActor) -> None:
    """An uncommitted row of the next owner was seen through the shared object once."""
    ask()
    shared = connections["default"]
    shared.inc_thread_sharing()
    slots.end_request()
    others = [actor(), actor()]
    pool.timeout = 0.3
    others[0].do(lambda: transaction.set_autocommit(False))
    with pytest.raises(SlotTimeout):
        others[1].do(ask)
    with shared.cursor() as cursor:
        cursor.execute("SELECT 1")
    others[0].do(lambda: transaction.set_autocommit(True))
    shared.dec_thread_sharing()
    assert held() == 0


def test_shared_connection_survives_its_thread(pool: Any) -> None:
    one = Actor()
    one.do(ask)
    shared = one.do(lambda: connections["default"])
    shared.inc_thread_sharing()
    one.end()
    with shared.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)
    shared.dec_thread_sharing()
    assert held() == 0
    slots.end_request(shared.slot_owner)
    assert pool.counts()["free"] == 2


def test_thread_that_ends_the_sharing_releases_the_slot(pool: Any, actor: NewActor) -> None:
    one = actor()

    def share() -> Any:
        slots.begin_request()
        ask()
        shared = connections["default"]
        shared.inc_thread_sharing()
        slots.end_request()
        return shared

    shared = one.do(share)
    assert held() == 1
    shared.dec_thread_sharing()
    assert held() == 0


def test_another_thread_may_not_use_a_wrapper(pool: Any, actor: NewActor) -> None:
    mine = connections["default"]
    ask()
    with pytest.raises(Error, match="can only be used in that same thread"):
        actor().do(mine.cursor)
    assert held() == 0


# hold() and install()


def test_hold_keeps_the_connection(pool: Any, actor: NewActor) -> None:
    slots.begin_request()
    with slots.hold() as raw:
        assert raw is connection.connection
        assert held() == 1
        with raw.cursor() as cursor:
            cursor.execute("SELECT 1")
        assert held() == 1
    assert held() == 0


def test_statement_of_the_driver_connection_is_seen(pool: Any) -> None:
    slots.begin_request()
    before = ask()
    with slots.hold() as raw, raw.cursor() as cursor:
        cursor.execute("SET search_path TO pg_catalog")
    slots.end_request()
    assert ask() != before


def test_end_of_request_ends_hold(pool: Any) -> None:
    slots.begin_request()
    block = slots.hold()
    block.__enter__()
    slots.end_request()
    assert pool.counts()["free"] == 2
    block.__exit__(None, None, None)
    ask()
    assert held() == 0


def test_hold_outside_a_request_is_refused(pool: Any) -> None:
    with pytest.raises(RuntimeError, match="only while gunicorn serves a request"), slots.hold():
        pass


def test_second_install_is_refused(pool: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match="called twice"):
        slots.install()


def test_engine_without_slots_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from django.db.backends.postgresql.base import DatabaseWrapper

    plain = DatabaseWrapper(connections["other"].settings_dict, "other")
    connections["other"] = plain
    try:
        with pytest.raises(ImproperlyConfigured, match=r'DATABASES\["other"\].*connection_slots'):
            slots.install()
        assert not slots.installed()
    finally:
        del connections["other"]


def test_without_slots_it_is_djangos_backend() -> None:
    first = ask()
    assert ask() == first
    assert connection.connection is not None
    connection.close()
    assert ask() != first


# Forks, and sequences


@pytest.mark.skipif(type(threading.Lock()).__module__ != "_thread", reason="greenlets do not fork")
def test_fork_keeps_the_thread_sharing(pool: Any) -> None:
    connection.inc_thread_sharing()
    ask()
    child = os.fork()
    if not child:
        status = 9
        try:
            connection.dec_thread_sharing()
            ask()
            status = held()
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    connection.dec_thread_sharing()
    assert held() == 0


@pytest.mark.skipif(type(threading.Lock()).__module__ != "_thread", reason="greenlets do not fork")
def test_fork_leaves_the_parents_transaction_alone(pool: Any) -> None:
    with transaction.atomic():
        before = ask()
        child = os.fork()
        if not child:
            status = 0 if slots.pool is not pool and connection.connection is None else 1
            os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        assert ask() == before


def test_currval_answers_for_its_own_insert(pool: Any, actor: NewActor) -> None:
    ask("CREATE TABLE IF NOT EXISTS numbered (id serial, text text)")
    one = actor()
    mine = one.do(ask, "SELECT nextval('numbered_id_seq')")
    for other in (actor(), actor()):
        other.do(ask, "SELECT nextval('numbered_id_seq')")
        other.do(slots.end_request)
    assert one.do(ask, "SELECT currval('numbered_id_seq')") == mine


def test_sequence_of_a_request_does_not_hold_the_next(pool: Any) -> None:
    ask("CREATE TABLE IF NOT EXISTS numbered (id serial, text text)")
    ask("SELECT nextval('numbered_id_seq')")
    assert held() == 1
    slots.end_request()
    ask()
    assert held() == 0


def test_currval_of_a_lost_session_is_an_error(pool: Any, actor: NewActor) -> None:
    ask("CREATE TABLE IF NOT EXISTS numbered (id serial, text text)")
    slots.end_request()
    one, others = actor(), [actor(), actor()]
    one.do(ask, "INSERT INTO numbered (text) VALUES ('a')")
    for other in others:
        other.do(lambda: transaction.set_autocommit(False))
    with pytest.raises(Error, match="another one since its INSERT"):
        outcome = one.start(ask, "SELECT currval('numbered_id_seq')")
        time.sleep(0.2)
        for other in others:
            other.do(lambda: transaction.set_autocommit(True))
        result(outcome)


def test_async_code_cannot_hold(pool: Any) -> None:
    import asyncio

    async def view() -> None:
        with slots.hold():
            pass

    with pytest.raises(SynchronousOnlyOperation):
        asyncio.run(view())


def test_driver_is_the_one_of_this_flavour() -> None:
    name = "psycopg" if is_psycopg3 else "psycopg2"
    mine: Any = connections["default"]
    assert mine.Database.__name__ == name


# What the review found


def test_on_commit_hook_holds_no_slot(pool: Any) -> None:
    seen: list[int] = []
    with transaction.atomic():
        ask()
        transaction.on_commit(lambda: seen.append(held()))
    assert seen == [0]


def test_copy_leaves_no_connection_after_a_take_over(pool: Any, actor: NewActor) -> None:
    first, second, third = actor(), actor(), actor()

    def use_copy() -> Any:
        with connection.cursor():
            copy = connection.copy()
            with copy.cursor() as cursor:
                cursor.execute("SELECT 1")
        return copy

    second.do(ask)
    copies = [first.do(use_copy)]
    third.do(ask)
    first.do(lambda: copies.pop().close())
    for one in (first, second, third):
        one.do(ask)
        one.do(slots.end_request)
    for one in (second, first):
        one.do(ask)
    assert sum(len(slot.resources) for slot in pool.slots) <= 2


def test_owner_finds_the_slot_that_a_waiter_put_back(pool: Any) -> None:
    before = ask()
    slot = slots.current_owner().slot
    assert slot is not None
    pool._idle.pop(slot)  # as a waiter does, which then sees that the slot was used meanwhile
    slots.end_request()
    pool._idle[slot] = True
    assert ask() == before
    assert len(slot.resources) == 1


def test_close_waits_for_a_waiter_that_puts_the_slot_back(pool: Any, actor: NewActor) -> None:
    one = actor()
    before = one.do(ask)
    owner = one.do(slots.current_owner)
    closing = threading.Event()

    def close() -> None:
        closing.set()
        connection.close()

    with pool._lock:
        pool._idle.pop(owner.slot)
        closed = one.start(close)
        assert closing.wait(DEADLINE)
        time.sleep(0.2)
        pool._idle[owner.slot] = True
    result(closed)
    assert one.do(ask) != before
    assert sum(len(slot.resources) for slot in pool.slots) == 1


def test_interrupted_claim_loses_no_slot(pool: Any) -> None:
    """An alarm's exception may come when the slot is no longer idle and not held yet."""
    before = ask()
    pool._idle.pop(slots.current_owner().slot)
    assert ask() == before
    assert pool.counts()["idle"] == 1
    pool._idle.pop(slots.current_owner().slot)
    slots.end_request()
    assert pool.counts()["free"] == 2


def test_slot_of_another_pool_is_not_reclaimed(pool: Any, actor: NewActor) -> None:
    one = actor()
    one.do(ask)
    slots.uninstall()
    slots.install()
    one.do(ask)
    assert slots.pool is not None
    assert slots.pool.counts() == {"free": 1, "idle": 1, "held": 0, "waiting": 0}


def test_query_of_a_signal_handler_is_counted_once(
    pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask()
    claim = pool.claim

    def interrupted(owner: Any) -> Any:
        claimed = claim(owner)
        monkeypatch.undo()
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        return claimed

    monkeypatch.setattr(pool, "claim", interrupted)
    connection.close()
    ask()
    assert held() == 0


@pytest.mark.parametrize("end", ["connection.close()", "slots.end_request()"])
def test_receiver_that_ends_the_connection_keeps_no_slot(end: str, pool: Any) -> None:
    def receiver(**kwargs: Any) -> None:
        connection.close() if end == "connection.close()" else slots.end_request()

    connection_created.connect(receiver)
    try:
        with pytest.raises(Error, match="a receiver of connection_created has closed"):
            ask()
    finally:
        connection_created.disconnect(receiver)
    assert held() == 0
    with transaction.atomic():
        ask()
        assert held() == 1
    assert held() == 0


def test_failing_log_filter_does_not_stop_the_end_of_a_request(
    pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(record: Any) -> bool:
        raise ValueError(record)

    monkeypatch.setattr("connection_slots.backend.session._last_warning", [-60.0, 0.0])
    logger = logging.getLogger("connection_slots")
    logger.addFilter(fail)
    try:
        transaction.set_autocommit(False)
        slots.end_request()
    finally:
        logger.removeFilter(fail)
    assert pool.counts()["free"] == 2
    ask()
    assert held() == 0


@pytest.mark.skipif(is_psycopg3, reason="psycopg2's cursor classes")
def test_cursor_class_of_a_caller_is_tracked(pool: Any) -> None:
    from psycopg2.extras import RealDictCursor

    before = ask()
    slots.begin_request()
    with slots.hold() as raw:
        cursor = raw.cursor(cursor_factory=RealDictCursor)
        cursor.execute("SET search_path TO pg_catalog")
    assert held() == 1
    slots.end_request()
    assert ask() != before


def test_autocommit_off_by_default(pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Django: atomic() is a savepoint then, and rollback() undoes it."""
    monkeypatch.setitem(connection.settings_dict, "AUTOCOMMIT", False)
    ask("DROP TABLE IF EXISTS manual")
    ask("CREATE TABLE manual (id int)")
    connection.commit()
    assert held() == 0
    slots.end_request()
    with transaction.atomic():
        ask("INSERT INTO manual VALUES (1)")
    connection.rollback()
    assert ask("SELECT count(*) FROM manual") == 0
    connection.rollback()
    assert held() == 0
