"""errors.py, middleware.py: what means "try again later" is answered 503, and all else is a 500."""

import asyncio
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import (
    DatabaseError,
    Error,
    InterfaceError,
    InternalError,
    OperationalError,
    connection,
    transaction,
)
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, RequestFactory, override_settings
from django.urls import path

from connection_slots import slots
from connection_slots.errors import (
    DatabaseUnavailable,
    SlotTimeout,
    is_unavailable,
    mark_connection_lost,
)
from connection_slots.middleware import DatabaseUnavailableMiddleware
from tests.package.slots.conftest import Actor, ask, result, wait_for

NewActor = Callable[[], Actor]

GREEN = type(threading.Lock()).__module__ != "_thread"


def raised(function: Callable[[], object]) -> Exception:
    """Return the exception that `function` raises."""
    with pytest.raises(Exception) as caught:  # noqa: PT011
        function()
    return caught.value


def terminate(pid: int) -> None:
    """End a connection on the server, and wait until its message has arrived."""
    ask("SELECT pg_terminate_backend(%s, 5000)", [pid], using="other")
    time.sleep(0.1)


def cut_network() -> None:
    """Shut the socket of this thread's connection down, without a message from the server."""
    with socket.socket(fileno=os.dup(connection.connection.fileno())) as copy:
        copy.shutdown(socket.SHUT_RDWR)


# The database is away or full


def query_on_terminated() -> None:
    """Query in a transaction whose connection is ended between two statements."""
    with transaction.atomic():
        terminate(ask())
        ask()


def query_on_cut() -> None:
    """Query on a connection whose network is gone."""
    with transaction.atomic():
        ask()
        cut_network()
        ask()


def commit_on_cut() -> None:
    """Commit on a connection whose network is gone."""
    with transaction.atomic():
        ask()
        cut_network()


def fetch_on_cut() -> None:
    """Fetch from a server-side cursor whose network is gone."""
    with connection.chunked_cursor() as cursor:
        cursor.execute("SELECT repeat('x', 1000) FROM generate_series(1, 10000)")
        cursor.fetchmany(10)
        cut_network()
        cursor.fetchall()


def terminate_itself() -> None:
    """End the connection that asks for it."""
    ask("SELECT pg_terminate_backend(pg_backend_pid())")


@pytest.mark.parametrize(
    "function",
    [
        terminate_itself,
        query_on_terminated,
        query_on_cut,
        commit_on_cut,
        fetch_on_cut,
    ],
)
def test_lost_connection_is_unavailable(function: Callable[[], object], pool: Any) -> None:
    error = raised(function)
    assert isinstance(error, (OperationalError, InterfaceError))
    assert is_unavailable(error)
    assert ask("SELECT 1") == 1


def test_lost_connection_is_unavailable_whatever_psycopg_makes_of_it() -> None:
    error = InternalError("received 2 results from command 'BEGIN'")
    error.__cause__ = Exception()
    assert not is_unavailable(error)
    mark_connection_lost(error.__cause__)
    assert is_unavailable(error)


def test_backend_terminated_during_a_query_is_unavailable(pool: Any, actor: NewActor) -> None:
    one = actor()
    pid = one.do(ask)
    outcome = one.start(ask, "SELECT 1 FROM pg_sleep(10)")
    state = "SELECT state = 'active' FROM pg_stat_activity WHERE pid = %s"
    wait_for(lambda: ask(state, [pid], using="other"), "the query to run")
    terminate(pid)
    assert is_unavailable(raised(lambda: result(outcome)))


@pytest.fixture
def full_database(pool: Any) -> Iterator[str]:
    """A database that allows no connection."""
    ask("DROP DATABASE IF EXISTS allows_none")
    ask("CREATE DATABASE allows_none CONNECTION LIMIT 0")
    slots.end_request()
    yield "allows_none"
    ask("DROP DATABASE allows_none", using="other")


@pytest.mark.parametrize(
    ("setting", "value"),
    [("PORT", "1"), ("HOST", "name.invalid"), ("NAME", "allows_none")],
    ids=["refused", "unknown host", "too many connections"],
)
def test_failed_connect_is_unavailable(
    setting: str, value: str, full_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connection_slots.backend.base.RESTART_TAKES", 0.0)
    monkeypatch.setitem(connection.settings_dict, setting, value)
    error = raised(ask)
    assert isinstance(error, DatabaseUnavailable)
    assert is_unavailable(error)


def connect_to_closed_port() -> None:
    """Connect a copy whose server is not there. Others go on with theirs."""
    copy = connection.copy()
    copy.settings_dict["PORT"] = "1"
    with copy.cursor():
        pass


def test_failing_connect_gives_up_while_others_connect(
    pool: Any, actor: NewActor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connection_slots.backend.base.RESTART_TAKES", 0.5)
    outcome = actor().start(connect_to_closed_port)
    give_up = time.monotonic() + 5
    while outcome.empty() and time.monotonic() < give_up:
        ask()
        connection.close()
    assert not outcome.empty()
    assert isinstance(raised(lambda: result(outcome)), DatabaseUnavailable)


def test_slot_timeout_is_unavailable(pool: Any, actor: NewActor) -> None:
    pool.timeout = 0.1
    for one in (actor(), actor()):
        one.do(lambda: transaction.set_autocommit(False))
    error = raised(ask)
    assert isinstance(error, SlotTimeout)
    assert is_unavailable(error)


@pytest.mark.parametrize("attribute", ["sqlstate", "pgcode"])
@pytest.mark.parametrize(
    ("kind", "sqlstate", "unavailable"),
    [
        (OperationalError, "08006", True),
        (OperationalError, "08P01", True),
        (OperationalError, "53300", True),
        (OperationalError, "57P01", True),
        (OperationalError, "57P02", True),
        (InterfaceError, "57P03", True),
        (OperationalError, None, False),
        (OperationalError, "40001", False),
        (OperationalError, "40P01", False),
        (OperationalError, "53100", False),
        (OperationalError, "53200", False),
        (OperationalError, "55P03", False),
        (OperationalError, "57014", False),
        (InterfaceError, None, False),
        (DatabaseError, "57P01", False),
        (ValueError, "57P01", False),
    ],
)
def test_sqlstate_decides(
    kind: type[Exception], sqlstate: str | None, unavailable: bool, attribute: str
) -> None:
    cause = Exception()
    setattr(cause, attribute, sqlstate)
    error = kind()
    error.__cause__ = cause
    assert is_unavailable(error) is unavailable


# Programming errors, and statements that the server refuses


def fetch_closed() -> None:
    """Fetch from a cursor after its end."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    cursor.fetchone()


def execute_closed() -> None:
    """Execute on a cursor after its end."""
    with connection.cursor() as cursor:
        pass
    cursor.execute("SELECT 1")


def fetch_before_execute() -> None:
    """Fetch without a query."""
    with connection.cursor() as cursor:
        cursor.fetchone()


def fetch_without_rows() -> None:
    """Fetch the rows of a statement that has none."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL search_path TO a")
        cursor.fetchone()


def cursor_of_closed_connection() -> None:
    """Execute on a cursor whose connection was closed before."""
    cursor = connection.cursor()
    connection.close()
    cursor.execute("SELECT 1")


def cursor_of_closed_driver_connection() -> None:
    """Execute after the driver connection was closed by the program itself."""
    with connection.cursor() as cursor:
        connection.connection.close()
        cursor.execute("SELECT 1")


def close_inside_atomic() -> None:
    """Query after close() in a transaction."""
    with transaction.atomic():
        ask()
        connection.close()
        ask()


def query_in_broken_transaction() -> None:
    """Query after an error that was caught inside atomic()."""
    with transaction.atomic():
        raised(lambda: ask("SELECT 1 / 0"))
        ask()


def autocommit_inside_transaction() -> None:
    """Set the driver's attribute in a transaction."""
    with transaction.atomic(), connection.wrap_database_errors:
        ask()
        connection.connection.autocommit = True


def set_autocommit_inside_atomic() -> None:
    """Set autocommit in a transaction."""
    with transaction.atomic():
        transaction.set_autocommit(True)


def exceed_statement_timeout() -> None:
    """Take longer than statement_timeout."""
    with transaction.atomic():
        ask("SET LOCAL statement_timeout = '50ms'")
        ask("SELECT 1 FROM pg_sleep(5)")


def exceed_lock_timeout() -> None:
    """Wait for a lock for longer than lock_timeout."""
    with transaction.atomic(), transaction.atomic(using="other"):
        ask("LOCK TABLE shop_tag", using="other")
        ask("SET LOCAL lock_timeout = '50ms'")
        ask("LOCK TABLE shop_tag")


def use_in_another_thread() -> None:
    """Use a connection object of another thread."""
    other = Actor()
    mine = connection._connections["default"]  # type: ignore[attr-defined]
    try:
        other.do(mine.cursor)
    finally:
        other.end()


@pytest.mark.parametrize(
    "function",
    [
        fetch_closed,
        execute_closed,
        fetch_before_execute,
        fetch_without_rows,
        cursor_of_closed_connection,
        cursor_of_closed_driver_connection,
        close_inside_atomic,
        query_in_broken_transaction,
        autocommit_inside_transaction,
        set_autocommit_inside_atomic,
        exceed_statement_timeout,
        exceed_lock_timeout,
        use_in_another_thread,
        lambda: ask("SELEC 1"),
        lambda: ask("SELECT %s"),
        lambda: ask("SELECT * FROM missing"),
        lambda: ask("SELECT 1 / 0"),
        lambda: ask("INSERT INTO shop_tag VALUES (NULL)"),
        lambda: ask("ROLLBACK TO SAVEPOINT missing"),
        lambda: ask("SELECT %s, %s", [1]),
    ],
)
def test_other_errors_are_not_unavailable(function: Callable[[], object], pool: Any) -> None:
    error = raised(function)
    assert not is_unavailable(error), repr(error)
    slots.end_request()
    assert ask("SELECT 1") == 1


# Answers


def fail(request: HttpRequest, name: str) -> HttpResponse:
    """Raise one of the errors."""
    raise ERRORS[name]


async def fail_async(request: HttpRequest, name: str) -> HttpResponse:
    """Raise one of the errors in a coroutine."""
    raise ERRORS[name]


def failing_middleware(get_response: Callable[[HttpRequest], HttpResponse]) -> Any:
    """Raise before the view, as the middleware of sessions does without a database."""

    def middleware(request: HttpRequest) -> HttpResponse:
        if "early" in request.GET:
            raise ERRORS[request.GET["early"]]
        return get_response(request)

    return middleware


ERRORS = {
    "unavailable": DatabaseUnavailable("host 10.0.0.1 refused"),
    "timeout": SlotTimeout("all 2 database slots of this worker stayed in use"),
    "operational": OperationalError("a deadlock"),
    "interface": InterfaceError("cursor already closed"),
    "value": ValueError("on purpose"),
}
UNAVAILABLE = {"unavailable", "timeout"}

urlpatterns = [path("sync/<name>", fail), path("async/<name>", fail_async), path("<name>", fail)]
handler500 = "connection_slots.middleware.handler500"


@pytest.fixture
def site() -> Iterator[None]:
    """The views above."""
    middleware = "connection_slots.middleware.DatabaseUnavailableMiddleware"
    with override_settings(
        ROOT_URLCONF=__name__,
        ALLOWED_HOSTS=["*"],
        MIDDLEWARE=[f"{__name__}.failing_middleware", middleware],
    ):
        yield


def check_answer(name: str, response: Any) -> None:
    """Expect 503 and Retry-After in seconds for UNAVAILABLE, else 500."""
    if name in UNAVAILABLE:
        assert response.status_code == 503
        assert int(response["Retry-After"]) > 0
        assert response.content == b"The database is unavailable.\n"
    else:
        assert response.status_code == 500
        assert "Retry-After" not in response


@pytest.mark.parametrize("url", ["/sync/{}", "/async/{}", "/sync/value?early={}"])
@pytest.mark.parametrize("name", ERRORS)
def test_answer(name: str, url: str, site: None) -> None:
    if GREEN and "async" in url:
        pytest.skip("ASGI runs on OS threads")
    client = Client(raise_request_exception=False)
    check_answer(name, client.get(url.format(name)))


@pytest.mark.skipif(GREEN, reason="ASGI runs on OS threads")
@pytest.mark.parametrize("url", ["/sync/{}", "/async/{}", "/sync/value?early={}"])
@pytest.mark.parametrize("name", ERRORS)
def test_answer_of_asgi(name: str, url: str, site: None) -> None:
    client = AsyncClient(raise_request_exception=False)
    check_answer(name, asyncio.run(client.get(url.format(name))))


def test_middleware_names_the_reason_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="connection_slots")
    middleware = DatabaseUnavailableMiddleware(lambda request: HttpResponse())
    request = RequestFactory().get("/")
    assert middleware.process_exception(request, ERRORS["value"]) is None
    response = middleware.process_exception(request, ERRORS["unavailable"])
    assert response is not None
    assert response.status_code == 503
    assert "503: host 10.0.0.1 refused" in caplog.text
    assert b"10.0.0.1" not in response.content


def test_view_error_is_answered_through_a_real_query(pool: Any) -> None:
    """The error of a connection that breaks under a view, as Django raises it."""
    middleware = DatabaseUnavailableMiddleware(lambda request: HttpResponse())
    request = RequestFactory().get("/")
    for function, status in ((terminate_itself, 503), (fetch_closed, None)):
        with pytest.raises(Error) as caught:
            function()
        response = middleware.process_exception(request, caught.value)
        assert (response and response.status_code) == status
