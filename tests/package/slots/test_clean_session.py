"""What a request leaves in its session is not visible to the next one, and is named in the log."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import Error, connection, connections, transaction
from django.db.backends.postgresql.psycopg_any import is_psycopg3, sql
from django.db.backends.signals import connection_created
from django.test import override_settings

from connection_slots import slots
from connection_slots.backend import session
from tests.package.slots.conftest import Actor, ask
from tests.package.slots.shop.models import Category

NewActor = Callable[[], Actor]

# Everything in a session that the cases below change, as the next request would see it.
VISIBLE = """
    SELECT current_setting('search_path'), current_setting('TimeZone'), current_setting('role'),
        current_setting('client_encoding'), now() = statement_timestamp(),
        (SELECT count(*) FROM pg_listening_channels()),
        (SELECT count(*) FROM pg_prepared_statements WHERE from_sql),
        (SELECT count(*) FROM pg_cursors WHERE name <> ''),
        (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()),
        (SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema())
"""


def visible() -> object:
    """Return what this request sees of its session, also inside a transaction."""
    with connection.cursor() as cursor:
        cursor.execute(VISIBLE)
        session = cursor.fetchone()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('transaction_isolation'),"
            " current_setting('transaction_read_only')"
        )
        return session, cursor.fetchone(), connection.force_debug_cursor, connection.queries_log


@pytest.fixture
def one_slot(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One slot for all, and a log that has not warned yet."""
    monkeypatch.setattr(session, "_last_warning", [-session.WARN_EVERY, 0.0])
    with override_settings(DATABASE_SLOTS=1):
        slots.install()
    yield
    slots.uninstall()
    connections.close_all()


USER = connection.settings_dict["USER"]
PATH = "SET search_path TO pg_catalog"

STATEMENTS = [
    PATH,
    f"SELECT 1; {PATH}",
    f"BEGIN; {PATH}; COMMIT",
    "SELECT Set_Config('search_path', 'pg_catalog', false)",
    "UPDATE pg_settings SET setting = 'pg_catalog' WHERE name = 'search_path'",
    f"DO $$ BEGIN {PATH}; END $$",
    f"DO $$ BEGIN EXECUTE '{PATH}'; END $$",
    "SET TIME ZONE 'Asia/Tokyo'",
    f'SET ROLE "{USER}"',
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    "CREATE TEMP TABLE leftover ()",
    "CREATE TABLE pg_temp.leftover ()",
    "SELECT 1 AS a INTO TEMP leftover",
    "EXPLAIN ANALYZE CREATE TEMP TABLE leftover AS SELECT 1",
    "PREPARE leftover AS SELECT 1",
    "LISTEN leftover",
    "SELECT pg_advisory_lock(1)",
    "DECLARE leftover CURSOR WITH HOLD FOR SELECT 1",
    "BEGIN",
]


def composed() -> Any:
    """Return the statement as an object of the driver's module `sql`."""
    return sql.SQL("SET search_path TO {}").format(sql.Identifier("pg_catalog"))


def execute(query: Any, parameters: Any = None) -> None:
    """Run a statement that returns nothing of interest."""
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)


def execute_in_last_wrapper() -> None:
    """Let an execute wrapper change the statement after all others have seen it."""

    def change(execute: Any, sql: str, *rest: Any) -> Any:
        return execute(PATH, *rest)

    with connection.execute_wrapper(change):
        execute("SELECT 1")


def execute_debugged() -> None:
    """Run the statement through Django's debug cursor."""
    connection.force_debug_cursor = True
    execute(PATH)


def call_procedure() -> None:
    """Call a function by its name."""
    with connection.cursor() as cursor:
        cursor.callproc("set_config", ["search_path", "pg_catalog", False])


def execute_many() -> None:
    """Run a statement for each of several parameters."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "SELECT set_config('search_path', %s, %s)", [("pg_catalog", True), ("a", False)]
        )


def execute_on_driver_connection() -> None:
    """Run the statement on a cursor that the backend did not make."""
    connection.ensure_connection()
    with connection.connection.cursor() as cursor:
        cursor.execute(PATH)


def set_driver_isolation() -> None:
    """Change the isolation level with the driver's attribute."""
    connection.ensure_connection()
    if is_psycopg3:
        from psycopg import IsolationLevel

        connection.connection.isolation_level = IsolationLevel.SERIALIZABLE
    else:
        connection.connection.set_session(isolation_level="SERIALIZABLE")
    connection.cursor().close()


def set_driver_read_only() -> None:
    """Make the session read-only with the driver's attribute."""
    connection.ensure_connection()
    if is_psycopg3:
        connection.connection.read_only = True
    else:
        connection.connection.set_session(readonly=True)
    connection.cursor().close()


def set_driver_encoding() -> None:
    """Change the encoding with psycopg2's method. psycopg 3 has none: it takes a statement."""
    connection.ensure_connection()
    connection.connection.set_client_encoding("LATIN1")
    connection.cursor().close()


def set_row_factory() -> None:
    """Let the driver return rows of another kind."""
    connection.ensure_connection()
    if is_psycopg3:
        from psycopg.rows import dict_row

        connection.connection.row_factory = dict_row
    else:
        from psycopg2.extras import RealDictCursor

        connection.connection.cursor_factory = RealDictCursor


KEPT: list[object] = []  # what a request leaves open


def leave_server_side_cursor() -> None:
    """Read the first rows of a QuerySet, and keep the rest for later."""
    Category.objects.bulk_create(Category(name=f"left {number}") for number in range(3))
    rows = Category.objects.iterator(chunk_size=1)
    next(rows)
    KEPT.append(rows)


def leave_cursor_open() -> None:
    """Keep a cursor with the rest of its rows."""
    cursor = connection.chunked_cursor()
    cursor.execute("SELECT generate_series(1, 10)")
    KEPT.append(cursor)


def leave_atomic_open() -> None:
    """Begin a block that does not end."""
    transaction.atomic().__enter__()
    ask()


def switch_autocommit_off() -> None:
    """Begin a transaction that does not end."""
    transaction.set_autocommit(False)
    ask()


CASES: list[tuple[Callable[[], object], str]] = [
    (lambda: execute(PATH.encode()), PATH),
    (lambda: execute(composed()), 'SET search_path TO "pg_catalog"'),
    (lambda: execute("SELECT set_config('search_path', %s, %s)", ["a", False]), "set_config"),
    (lambda: execute("/* a */ SET search_path TO pg_catalog -- b"), "/* a */ SET"),
    (execute_in_last_wrapper, PATH),
    (execute_debugged, PATH),
    (call_procedure, "set_config"),
    (execute_many, "set_config"),
    (execute_on_driver_connection, PATH),
    (set_driver_isolation, "an attribute of the driver connection"),
    (set_driver_read_only, "an attribute of the driver connection"),
    (set_row_factory, "an attribute of the driver connection"),
    *([] if is_psycopg3 else [(set_driver_encoding, "an attribute of the driver connection")]),
    (leave_server_side_cursor, "a cursor was left open"),
    (leave_cursor_open, "a cursor was left open"),
    (leave_atomic_open, "a transaction was left open"),
    (switch_autocommit_off, "a transaction was left open"),
]


@pytest.mark.parametrize("statement", STATEMENTS)
def test_statement_is_not_seen_by_the_next_request(
    statement: str, one_slot: None, actor: NewActor, caplog: pytest.LogCaptureFixture
) -> None:
    named = "a transaction was left open" if statement == "BEGIN" else repr(statement)
    check(lambda: execute(statement), named, actor, caplog)


@pytest.mark.parametrize(("change", "named"), CASES)
def test_change_is_not_seen_by_the_next_request(
    change: Callable[[], object],
    named: str,
    one_slot: None,
    actor: NewActor,
    caplog: pytest.LogCaptureFixture,
) -> None:
    try:
        check(change, named, actor, caplog)
    finally:
        KEPT.clear()
        Category.objects.all().delete()


def check(
    change: Callable[[], object], named: str, actor: NewActor, caplog: pytest.LogCaptureFixture
) -> None:
    """Compare what a request sees before another one makes the `change`, and after it."""
    caplog.set_level(logging.WARNING, logger="connection_slots")
    one, other = actor(), actor()
    pid, before = other.do(ask), other.do(visible)
    other.do(slots.end_request)
    one.do(slots.begin_request)
    assert one.do(ask) == pid
    one.do(change)
    one.do(slots.end_request)
    assert [record.name for record in caplog.records] == ["connection_slots"]
    assert named in caplog.text
    for now in (other, one):
        now.do(slots.begin_request)
        assert now.do(ask) != pid
        assert now.do(visible) == before
        now.do(slots.end_request)
    assert len(caplog.records) == 1


@pytest.mark.parametrize("statement", [one for one in STATEMENTS if one != "BEGIN"])
def test_statement_changes_what_is_visible(statement: str, one_slot: None) -> None:
    """The test above would see each of these."""
    before = visible()
    execute(statement)
    assert visible() != before


@pytest.mark.parametrize("change", [case[0] for case in CASES if "left open" not in case[1]])
def test_change_changes_what_is_visible(change: Callable[[], object], one_slot: None) -> None:
    before = visible()
    change()
    assert visible() != before


@pytest.mark.parametrize("insert", ["with RETURNING", "without RETURNING"])
def test_currval_of_another_request_is_not_seen(
    insert: str, one_slot: None, actor: NewActor
) -> None:
    """currval() is an error when the session of the INSERT has been lost."""
    one, other = actor(), actor()
    if insert == "with RETURNING":
        one.do(lambda: Category.objects.create(name="mine").delete())
    else:
        one.do(execute, "INSERT INTO shop_category (name) VALUES ('mine')")
        one.do(execute, "DELETE FROM shop_category")
    other.do(ask, "SELECT nextval('shop_category_id_seq')")
    other.do(slots.end_request)
    with pytest.raises(Error, match="another one since its INSERT"):
        one.do(ask, "SELECT currval('shop_category_id_seq')")


def test_changed_session_stays_with_its_request(one_slot: None, actor: NewActor) -> None:
    """A waiter gets the slot only after the request, with another connection."""
    one, other = actor(), actor()
    one.do(execute, PATH)
    outcome = other.start(ask, "SHOW search_path")
    assert one.do(ask, "SHOW search_path") == "pg_catalog"
    one.do(slots.end_request)
    assert outcome.get(timeout=10)[0] != "pg_catalog"


def test_warnings_are_limited(one_slot: None, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(5):
        execute(PATH)
        slots.end_request()
    assert len(caplog.records) == 1
    session._last_warning[0] -= session.WARN_EVERY
    execute(PATH)
    slots.end_request()
    assert "(4 more since the last warning)" in caplog.records[1].getMessage()


def test_unchanged_session_is_not_warned_about(
    one_slot: None, caplog: pytest.LogCaptureFixture
) -> None:
    visible()
    slots.end_request()
    assert not caplog.records


# DATABASE_DISCARD_ALL


@pytest.fixture
def discarding(one_slot: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """Install with DATABASE_DISCARD_ALL. Collect the pids that connection_created is sent for."""
    execute(
        "CREATE OR REPLACE FUNCTION changes_session() RETURNS text LANGUAGE sql"
        " AS $$ SELECT set_config('search_path', 'pg_catalog', false) $$"
    )
    slots.uninstall()
    sent: list[object] = []

    def note(connection: Any, **kwargs: object) -> None:
        sent.append(connection.connection.info.backend_pid)

    monkeypatch.setitem(connections.settings["default"], "TIME_ZONE", "Asia/Tokyo")
    options = {**connections.settings["default"]["OPTIONS"], "assume_role": USER}
    monkeypatch.setitem(connections.settings["default"], "OPTIONS", options)
    connection_created.connect(note)
    with override_settings(DATABASE_SLOTS=1, DATABASE_DISCARD_ALL=True):
        slots.install()
    yield sent
    connection_created.disconnect(note)


def test_discard_all_undoes_what_is_not_seen(discarding: list[object], actor: NewActor) -> None:
    one, other = actor(), actor()
    before = other.do(visible)
    assert "Asia/Tokyo" in before[0]
    assert USER in before[0]
    other.do(slots.end_request)
    pid = one.do(ask)
    assert one.do(ask, "SELECT changes_session()") == "pg_catalog"
    assert one.do(ask, "SHOW search_path") == "pg_catalog"
    one.do(slots.end_request)
    assert other.do(visible) == before
    assert other.do(ask) == pid
    assert discarding == [pid] * 3


def test_discard_all_is_sent_when_the_owner_changes_only(
    discarding: list[object], actor: NewActor
) -> None:
    one, other = actor(), actor()
    for _ in range(3):
        one.do(ask)
    assert len(discarding) == 1
    other.do(ask)
    one.do(ask)
    assert len(discarding) == 3
    one.do(ask)
    assert len(discarding) == 3
