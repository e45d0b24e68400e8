"""Behind a real PgBouncer in transaction mode, sessions keep nothing between transactions."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import NotSupportedError, connection, connections, transaction
from django.db.backends.postgresql.psycopg_any import is_psycopg3, sql

from baking.pgbouncer import MISSING, PgBouncer, is_installed, pgbouncer
from connection_slots import slots
from tests.package.slots.conftest import Actor, ask, result, wait_for
from tests.package.slots.shop.models import Tag

CHANGES = [
    "SET statement_timeout = '1s'",
    "SELECT set_config('work_mem', '1MB', false)",
    "SELECT pg_advisory_lock(1)",
    "LISTEN news",
    "CREATE TEMPORARY TABLE t (i int)",
    "PREPARE p AS SELECT 1",
    "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
]
LOCAL = [
    "SET LOCAL work_mem = '1MB'",
    "SELECT set_config('work_mem', '1MB', true)",
    "SELECT pg_advisory_xact_lock(1)",
    "CREATE TEMPORARY TABLE t (i int) ON COMMIT DROP",
    "DECLARE c CURSOR FOR SELECT 1",
]


HARMLESS = [
    "ANALYZE shop_tag",
    "CREATE INDEX IF NOT EXISTS words ON shop_tag (word)",
    "DO $$ BEGIN RAISE NOTICE 'x'; END $$",
    "EXPLAIN ANALYZE SELECT 1",
    "LOCK TABLE shop_tag IN SHARE MODE",
    "NOTIFY news",
    "SELECT 'SET work_mem = 1'",
    "SELECT now() AT TIME ZONE 'Asia/Tokyo'",
    "SELECT to_tsvector('english', 'a') @@ to_tsquery('a')",
    "SET CONSTRAINTS ALL DEFERRED",
    "SHOW server_version",
    "TRUNCATE shop_tag CASCADE",
    "WITH a AS (SELECT 1) SELECT * FROM a",
]
SET = "SET work_mem = '77kB'"


def by_hold() -> None:
    with slots.hold() as raw:
        raw.cursor().execute(SET)


def without_autocommit() -> None:
    connection.set_autocommit(False)
    try:
        ask(SET)
    finally:
        connection.rollback()
        connection.set_autocommit(True)


def by_driver(method: str, *arguments: Any) -> None:
    with connection.cursor() as cursor:
        getattr(cursor, method)(*arguments)


WAYS: dict[str, Callable[[], object]] = {
    "bytes": lambda: by_driver("execute", SET.encode()),
    "callproc": lambda: by_driver("callproc", "set_config", ["work_mem", "77kB", False]),
    "composed": lambda: by_driver("execute", sql.SQL(SET)),
    "executemany": lambda: by_driver(
        "executemany", "SELECT set_config('work_mem', %s, false)", [("77kB",)]
    ),
    "hold": by_hold,
    "raw cursor": lambda: connection.cursor().connection.cursor().execute(SET),
    "second statement": lambda: ask(f"SELECT 1; {SET}"),
    "without autocommit": without_autocommit,
}


@pytest.fixture(scope="module")
def bouncer() -> Iterator[PgBouncer]:
    """One server connection, which all clients share."""
    if not is_installed():
        pytest.skip(MISSING)
    with pgbouncer(os.environ["DATABASE_URL"], pool_size=1) as one:
        yield one


@pytest.fixture
def through(bouncer: PgBouncer, pooled: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Slots whose connections go through PgBouncer."""
    for alias in connections:
        monkeypatch.setitem(connections.settings[alias], "HOST", "127.0.0.1")
        monkeypatch.setitem(connections.settings[alias], "PORT", bouncer.port)
    connections.close_all()
    slots.install()
    slots.begin_request()
    yield bouncer
    slots.end_request()
    slots.uninstall()
    connections.close_all()


@pytest.fixture
def own(pooled: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[PgBouncer]:
    """Slots whose default database is one that closed() closes, behind a PgBouncer of its own."""
    if not is_installed():
        pytest.skip(MISSING)
    name = f"closed_{os.getpid()}"
    ask(f"CREATE DATABASE {name}")
    with pgbouncer(os.environ["DATABASE_URL"], pool_size=1) as one:
        for key, value in {"HOST": "127.0.0.1", "PORT": one.port, "NAME": name}.items():
            monkeypatch.setitem(connections.settings["default"], key, value)
        connections.close_all()
        slots.install()
        slots.begin_request()
        yield one
        slots.end_request()
        slots.uninstall()
        connections.close_all()
    ask(f"DROP DATABASE {name}", using="other")
    connections.close_all()


@contextmanager
def closed() -> Iterator[None]:
    """Let PostgreSQL turn PgBouncer away for the block."""
    name = connections["default"].settings_dict["NAME"]
    ask(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false", using="other")
    ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = %s"
    assert ask(ended, [name], using="other") == 1
    yield
    ask(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true", using="other")


@pytest.mark.parametrize("statement", CHANGES)
def test_change_of_session_is_refused(statement: str, through: PgBouncer) -> None:
    with pytest.raises(NotSupportedError, match="SET LOCAL"):
        ask(statement)
    with pytest.raises(NotSupportedError), transaction.atomic():
        ask(statement)
    assert ask("SELECT 1") == 1
    assert ask("SHOW statement_timeout") == "0"


@pytest.mark.parametrize("way", WAYS)
def test_no_way_reaches_other_clients(way: str, through: PgBouncer) -> None:
    with pytest.raises(NotSupportedError):
        WAYS[way]()
    slots.end_request()
    slots.begin_request()
    assert ask("SHOW work_mem") != "77kB"
    assert slots.pool is not None
    assert slots.pool.counts()["held"] == 0


def test_refused_statement_leaves_the_transaction_intact(through: PgBouncer) -> None:
    Tag.objects.filter(word="kept").delete()
    with transaction.atomic():
        Tag.objects.create(word="kept")
        with pytest.raises(NotSupportedError):
            ask(SET)
        assert ask("SELECT 1") == 1
    assert Tag.objects.filter(word="kept").exists()


@pytest.mark.parametrize("statement", HARMLESS)
def test_harmless_statement_is_allowed(statement: str, through: PgBouncer) -> None:
    with transaction.atomic():
        ask(statement)


@pytest.mark.parametrize("statement", LOCAL)
def test_change_of_transaction_is_allowed(statement: str, through: PgBouncer) -> None:
    with transaction.atomic():
        ask(statement)
    assert ask("SHOW work_mem") != "1MB"


def test_currval_needs_a_transaction(through: PgBouncer) -> None:
    ask("CREATE SEQUENCE IF NOT EXISTS numbers")
    number = ask("SELECT nextval('numbers')")
    with pytest.raises(NotSupportedError, match="RETURNING"):
        ask("SELECT currval('numbers')")
    with transaction.atomic():
        ask("SELECT nextval('numbers')")
        assert ask("SELECT currval('numbers')") == number + 1


def test_clients_share_the_server_connection(
    through: PgBouncer, actor: Callable[[], Actor]
) -> None:
    assert ask() == actor().do(ask)


def test_iterator_reads_all_rows(through: PgBouncer) -> None:
    Tag.objects.all().delete()
    Tag.objects.bulk_create(Tag(word=str(number)) for number in range(250))
    seen = 0
    for _ in Tag.objects.iterator(chunk_size=100):
        seen += 1
        assert ask("SELECT 1") == 1  # between two chunks, another transaction
    assert seen == 250


def test_server_side_cursor_needs_a_transaction(through: PgBouncer) -> None:
    with pytest.raises(NotSupportedError, match="atomic"):
        connection.chunked_cursor()
    with transaction.atomic(), connection.chunked_cursor() as rows:
        rows.execute("SELECT generate_series(1, 10)")
        assert len(rows.fetchall()) == 10


@pytest.mark.skipif(is_psycopg3, reason="psycopg sends the isolation level with each BEGIN")
def test_isolation_of_session_is_refused(through: PgBouncer) -> None:
    connection.ensure_connection()
    raw = connection.connection
    for change in (
        lambda: setattr(raw, "isolation_level", 3),
        lambda: raw.set_isolation_level(3),
        lambda: raw.set_session(readonly=True),
    ):
        with pytest.raises(NotSupportedError, match="SET TRANSACTION"):
            change()
    with transaction.atomic():
        ask("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
        assert ask("SHOW transaction_isolation") == "serializable"
    assert ask("SHOW transaction_isolation") == "read committed"


def test_transaction_keeps_its_session(through: PgBouncer) -> None:
    with transaction.atomic():
        before = ask("SELECT txid_current()")
        Tag.objects.create(word="in")
        assert ask("SELECT txid_current()") == before
    assert Tag.objects.filter(word="in").exists()


def test_request_after_restart_gets_new_connection(through: PgBouncer) -> None:
    assert ask("SELECT 1") == 1
    slots.end_request()
    through.stop()
    through.start()
    slots.begin_request()
    assert ask("SELECT 1") == 1


def test_connect_waits_while_pgbouncer_cannot_log_in(
    own: PgBouncer, actor: Callable[[], Actor]
) -> None:
    assert ask("SELECT 1") == 1  # from now on PgBouncer accepts clients without a server
    connections["default"].close()
    with closed():
        waits = actor().start(ask)
        wait_for(lambda: "login failed" in own.log.read_text(), "PgBouncer to be turned away")
    assert ask("SELECT 1") == 1  # refused for another second, until PgBouncer tries again
    assert result(waits) > 0
