"""The backend without a server to break: what is recognised, and what a fork must not touch."""

import os
import threading
from typing import Any

import pytest
from django.db import connection
from django.db.backends.signals import connection_created

from database.backend.session import changes_session
{% if not cookiecutter.__lends %}
from tests.server import wait_for
{% endif %}


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        'INSERT INTO "notes_note" ("text") VALUES (%s)',
        "  with x as (select 1) select * from x",
        "SAVEPOINT s1",
        'RELEASE SAVEPOINT "s1"',
        "BEGIN",
        "set local search_path to x",
        "SET TRANSACTION READ ONLY",
        "SET CONSTRAINTS ALL IMMEDIATE",
        "SELECT set_config('a.b', %s, true)",
        "SELECT pg_advisory_xact_lock(1)",
        "EXPLAIN SELECT 1",
    ],
)
def test_a_statement_that_ends_with_its_transaction_costs_no_connection(sql: str) -> None:
    assert not changes_session(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SET search_path TO x",
        "set time zone 'UTC'",
        "RESET ALL",
        "SELECT set_config('a.b', %s, false)",
        "SELECT set_config('a.b', 'c', %s)",
        "SELECT set_config('a', 'b', true), set_config('c', 'd', false)",
        "SELECT pg_try_advisory_lock(1)",
        "LISTEN channel",
        "CREATE TEMP TABLE x ()",
        "PREPARE x AS SELECT 1",
        "DO $$ BEGIN END $$",
        "CALL something()",
        "-- a comment\nSET ROLE x",
        b"SELECT 1",
    ],
)
def test_a_statement_that_may_outlive_its_transaction_is_recognised(sql: object) -> None:
    assert changes_session(sql)


{% if not cookiecutter.__lends %}
@pytest.mark.usefixtures("live_database")
def test_a_connection_ends_with_its_thread() -> None:
    """Neither does it wait for the garbage collector."""
    names: list[str] = []

    def work() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            names.append(cursor.fetchone()[0])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    def ended() -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", names)
            return cursor.fetchone() == (0,)

    wait_for(ended, "the thread's connection to end")


{% endif %}
@pytest.mark.usefixtures("live_database")
def test_what_every_connection_is_given_does_not_count_as_changed() -> None:
    def watch(execute: Any, *statement: Any) -> Any:
        return execute(*statement)

    def give(connection: Any, **kwargs: object) -> None:
        connection.execute_wrappers.insert(0, watch)
        with connection.cursor() as cursor:
            cursor.execute("SET search_path TO public, pg_catalog")

    connection.close()
    connection_created.connect(give)
    try:
        this: Any = connection
        this.connect()
        assert this.is_clean()
        with this.cursor() as cursor:
            cursor.execute("SET search_path TO pg_catalog")
        assert not this.is_clean()
    finally:
        connection_created.disconnect(give)
        connection.close()


@pytest.mark.usefixtures("live_database")
def test_a_forked_child_leaves_its_parents_connection_alone() -> None:
    held, done = threading.Event(), threading.Event()
    answers: list[tuple[int]] = []

    def hold() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            held.set()
            done.wait(10)
            cursor.execute("SELECT 2")
            answers.append(cursor.fetchone())
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    done.set()
    thread.join(10)
    assert answers == [(2,)]
