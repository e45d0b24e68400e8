"""What this service promises about its connections, counted in pg_stat_activity while it serves."""

import os
import signal
{% if cookiecutter.__lends %}
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
{% else %}
from collections.abc import Callable
{% endif %}

import pytest
from django.conf import settings
from django.db import connection

from tests.server import (
{% if cookiecutter.__lends %}
    Client,
{% endif %}
    Gunicorn,
{% if cookiecutter.__lends %}
    Response,
{% endif %}
    Watch,
    crowd,
    hang_up,
    load,
{% if cookiecutter.__lends %}
    serving,
{% endif %}
    statuses,
    wait_for,
    watching,
)

pytestmark = pytest.mark.usefixtures("live_database")

BOUND = 2 * settings.DATABASE_SLOTS  # the `server` fixture has two workers
CLIENTS = 40


@pytest.fixture(scope="module", params=[False, True], ids=["new-tcp", "keep-alive"])
def rush(server: Gunicorn, request: pytest.FixtureRequest) -> tuple[Watch, dict[int, int]]:
    """400 requests from 40 clients, watched."""
    with watching(server) as watch:
        responses = load(
            server, "/query", clients=CLIENTS, requests=10, keep_alive=bool(request.param)
        )
    return watch, statuses(responses)


def test_connections_stay_bounded_at_every_sample(
    rush: tuple[Watch, dict[int, int]], record_property: Callable[[str, object], None]
) -> None:
    watch, answered = rush
    record_property("requests", sum(answered.values()))
    record_property("bound", BOUND)
    record_property("peak", watch.peak)
    record_property("opened", len(watch.opened))
    assert answered == {200: 10 * CLIENTS}
    assert watch.samples > 5
    assert 1 <= watch.peak <= BOUND


def test_connections_are_reused(rush: tuple[Watch, dict[int, int]]) -> None:
    watch, answered = rush
    assert sum(answered.values()) == 10 * CLIENTS
    assert len(watch.opened) <= BOUND


def test_requests_overlap_as_the_worker_class_promises(
    {{ cookiecutter.__two_slots }}: Gunicorn,
) -> None:
    with watching({{ cookiecutter.__two_slots }}) as watch:
        responses = load({{ cookiecutter.__two_slots }}, "/query?seconds=0.5", clients=2, requests=2)
    assert statuses(responses) == {200: 4}
    assert watch.peak_active == 2


def test_connections_ended_by_the_server_cost_no_request(server: Gunicorn) -> None:
    load(server, "/query", clients=CLIENTS, requests=2)
    for _ in range(3):
        assert server.terminate_backends() > 0
        assert statuses(load(server, "/query", clients=CLIENTS, requests=2)) == {200: 2 * CLIENTS}


{% if cookiecutter.__lends %}
def test_waiters_are_served_in_the_order_of_asking(narrow: Gunicorn) -> None:
    asked: list[Future[Response]] = []
    with ThreadPoolExecutor(10) as threads:
        for _ in range(10):
            asked.append(threads.submit(narrow.get, "/query?seconds=0.2"))
            time.sleep(0.06)
    answers = [response.result() for response in asked]
    assert statuses(answers) == {200: 10}
    began = [answer.json()["began"] for answer in answers]
    order = sorted(range(10), key=began.__getitem__)
    # Two slots: neighbours may swap, and nobody else.
    assert all(abs(place - number) <= 1 for place, number in enumerate(order)), order


def test_a_request_that_gets_no_slot_is_answered_503_at_the_deadline(narrow: Gunicorn) -> None:
    with ThreadPoolExecutor(1) as thread:
        slow = thread.submit(load, narrow, "/query?seconds=2.5", clients=2, requests=1)
        wait_for(lambda: sum(b.active for b in narrow.backends()) == 2, "both slots to be lent")
        late = load(narrow, "/query", clients=10, requests=1)
        assert narrow.get("/livez").seconds < 1
        assert statuses(slow.result()) == {200: 2}
    assert statuses(late) == {503: 10}
    assert all(1 <= response.seconds < 2.4 for response in late)
    assert all(int(response.headers["retry-after"]) > 0 for response in late)
    assert statuses(load(narrow, "/query", clients=10, requests=5)) == {200: 50}


def test_a_request_without_the_database_takes_no_slot(narrow: Gunicorn) -> None:
    narrow.terminate_backends()
    assert statuses(load(narrow, "/livez", clients=10, requests=10)) == {200: 100}
    assert narrow.backends() == []


def test_an_errors_page_that_queries_needs_no_second_slot(narrow: Gunicorn) -> None:
    assert statuses(load(narrow, "/missing", clients=10, requests=2)) == {404: 20}


def test_who_queries_after_the_end_of_a_request_keeps_no_slot(tmp_path: Path) -> None:
    few = {"WEB_CONCURRENCY": "1", "DATABASE_SLOTS": "2", "DATABASE_SLOT_TIMEOUT": "1"}
    with serving(tmp_path / "log", **few) as server:
        idle = [Client(server.port, keep_alive=True) for _ in range(2)]
        assert [client.get("/late").status for client in idle] == [200, 200]
        assert statuses(load(server, "/query", clients=1, requests=3)) == {200: 3}
        for client in idle:
            client.close()


{% else %}
def test_more_clients_than_slots_wait_and_are_served(narrow: Gunicorn) -> None:
    responses = load(narrow, "/query?seconds=0.1", clients=12, requests=1)
    assert statuses(responses) == {200: 12}
    assert len(narrow.backends()) <= 2


{% endif %}
def test_a_reload_under_load_fails_no_request_and_leaves_nothing(server: Gunicorn) -> None:
    before = {backend.pid for backend in server.backends()}
    with crowd(server, "/query?seconds=0.01", clients=4) as asked:
        server.reload()
{% if cookiecutter.worker_class == 'eventlet' %}
    # gunicorn 25's eventlet worker may reset a connection that comes in while it stops.
    counts = asked.counts()
    assert counts.pop("ConnectionResetError", 0) <= 4
    assert set(counts) == {200}
{% else %}
    assert set(asked.counts()) == {200}
{% endif %}
    wait_for(lambda: not before & {b.pid for b in server.backends()}, "old connections to end")
    assert {backend.worker for backend in server.backends()} <= server.workers()


def test_a_killed_worker_leaves_no_connection(server: Gunicorn) -> None:
    load(server, "/query", clients=CLIENTS, requests=2)
    holders = {backend.worker for backend in server.backends()}
    for pid in holders:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not holders & {b.worker for b in server.backends()}, "their connections")
    wait_for(lambda: len(server.workers()) == 2, "new workers")
    server.wait_until_it_serves()
    assert statuses(load(server, "/query", clients=CLIENTS, requests=1)) == {200: CLIENTS}


def test_the_master_holds_no_connection(server: Gunicorn) -> None:
    load(server, "/query", clients=CLIENTS, requests=1)
    workers = {backend.worker for backend in server.backends()}
    assert workers
    assert workers <= server.workers()
    assert server.process.pid not in workers


@pytest.mark.parametrize(
    "what",
    [
        "open-transaction",
        "broken-transaction",
        "autocommit-off",
        "exception-in-atomic",
        "time-zone",
        "role",
        "search-path",
        "setting",
        "local-setting",
        "advisory-lock",
        "listen",
        "temporary-table",
        "server-side-cursor",
    ],
)
def test_what_a_request_leaves_is_never_seen_by_the_next(narrow: Gunicorn, what: str) -> None:
    clean = narrow.get("/session").json()
    left = load(narrow, f"/leave/{what}", clients=2, requests=3)
    assert statuses(left) == ({500: 6} if what == "exception-in-atomic" else {200: 6})
    after = load(narrow, "/session", clients=10, requests=2)
    assert statuses(after) == {200: 20}
    for response in after:
        assert response.json() == clean
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE state ^@ 'idle in transaction'")
        assert cursor.fetchone() == (0,)


@pytest.mark.parametrize(
    ("path", "after", "times"),
    [("/query", 0.0, 200), ("/query?seconds=0.2", 0.1, 20), ("/stream", 0.2, 20)],
    ids=["before the query", "during the query", "during a stream"],
)
def test_clients_that_hang_up_cost_no_slot(
    {{ cookiecutter.__two_slots }}: Gunicorn, path: str, after: float, times: int
) -> None:
    hang_up({{ cookiecutter.__two_slots }}, path, after=after, times=times)
    {{ cookiecutter.__two_slots }}.wait_until_it_rests()
    with watching({{ cookiecutter.__two_slots }}) as watch:
        responses = load({{ cookiecutter.__two_slots }}, "/query?seconds=0.3", clients=2, requests=2)
    assert statuses(responses) == {200: 4}
    assert watch.peak_active == 2
    assert len({{ cookiecutter.__two_slots }}.backends()) <= 2


def test_a_thread_that_a_view_starts_leaves_nothing(narrow: Gunicorn) -> None:
    clean = narrow.get("/session").json()
    assert statuses(load(narrow, "/spawn/ending", clients=2, requests=5)) == {200: 10}
    after = load(narrow, "/session", clients=10, requests=2)
    assert statuses(after) == {200: 20}
    assert all(response.json() == clean for response in after)
    assert len(narrow.backends()) <= 2


{% if cookiecutter.worker_class == 'asgi' %}
@pytest.mark.parametrize("path", ["/pool", "/task"])
def test_what_outlives_a_request_costs_no_slot(narrow: Gunicorn, path: str) -> None:
    assert statuses(load(narrow, path, clients=10, requests=3)) == {200: 30}
    narrow.wait_until_it_rests()
    with watching(narrow) as watch:
        responses = load(narrow, "/query?seconds=0.3", clients=2, requests=2)
    assert statuses(responses) == {200: 4}
    assert watch.peak_active == 2


{% endif %}
def test_the_time_zone_is_right_whatever_the_servers_own(server: Gunicorn) -> None:
    database = connection.ops.quote_name(connection.settings_dict["NAME"])
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER DATABASE {database} SET timezone TO 'Asia/Tokyo'")
    try:
        server.terminate_backends()
        after = load(server, "/session", clients=4, requests=2)
        assert {response.json()["timezone"] for response in after} == {"UTC"}
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER DATABASE {database} RESET timezone")
