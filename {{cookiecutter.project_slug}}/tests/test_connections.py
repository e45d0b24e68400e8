"""The connections of the running service, as PostgreSQL shows them."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from connection_slots.testing import StartGunicorn
from connection_slots.testing.capacity import assert_capacity
from connection_slots.testing.clients import crowd, hang_up, load, statuses
from connection_slots.testing.sampler import sampling
from connection_slots.testing.server import Gunicorn, wait_for
from connection_slots.testing.views import LEFT, RAISES
from django.conf import settings

WORKER_CLASS = settings.GUNICORN_WORKER_CLASS
BOUND = 2 * settings.DATABASE_SLOTS  # the `server` fixture has two workers
CLIENTS = 40

not_sync = pytest.mark.skipif(
    WORKER_CLASS == "sync", reason="a sync worker serves one request at a time"
)


@pytest.mark.parametrize("keep_alive", [False, True], ids=["new-tcp", "keep-alive"])
def test_connections_stay_bounded(
    server: Gunicorn, keep_alive: bool, record_property: Callable[[str, object], None]
) -> None:
    with sampling(server) as samples:
        responses = load(server, "/test/query", clients=CLIENTS, requests=10, keep_alive=keep_alive)
    record_property("requests", len(responses))
    record_property("bound", BOUND)
    record_property("peak", samples.peak)
    record_property("opened", len(samples.opened))
    assert statuses(responses) == {200: 10 * CLIENTS}
    assert samples.count > 5
    assert 1 <= samples.peak <= BOUND
    assert len(samples.opened) <= BOUND  # they were reused


def test_lost_connections_cost_no_request(server: Gunicorn) -> None:
    load(server, "/test/query", clients=CLIENTS, requests=2)
    assert server.terminate_connections() > 0
    responses = load(server, "/test/query", clients=CLIENTS, requests=2)
    assert statuses(responses) == {200: 2 * CLIENTS}


@not_sync
def test_waiting_request_holds_no_slot(small_server: Gunicorn) -> None:
    began = time.monotonic()
    responses = load(small_server, "/test/wait?seconds=1", clients=18, requests=1)
    # If each held one of the two slots for its second, most would get 503 after 3 s.
    assert statuses(responses) == {200: 18}
    assert time.monotonic() - began < 8
    assert len(small_server.connections()) <= 2


@not_sync
def test_acquire_times_out_and_recovers(small_server: Gunicorn) -> None:
    with ThreadPoolExecutor(1) as thread:
        slow = thread.submit(load, small_server, "/test/query?seconds=8", clients=2, requests=1)
        wait_for(lambda: sum(c.active for c in small_server.connections()) == 2, "both slots")
        late = load(small_server, "/test/query", clients=10, requests=1)
        assert small_server.get("/livez").status == 200
        assert statuses(slow.result()) == {200: 2}
    assert statuses(late) == {503: 10}
    assert all(2.9 < response.seconds < 8 for response in late)
    assert all(int(response.headers["retry-after"]) > 0 for response in late)
    assert statuses(load(small_server, "/test/query", clients=10, requests=5)) == {200: 50}
    assert_capacity(small_server, slots=2)


def test_touch_takes_no_slot(small_server: Gunicorn) -> None:
    small_server.terminate_connections()
    assert statuses(load(small_server, "/test/touch", clients=10, requests=5)) == {200: 50}
    assert small_server.connections() == []


@pytest.mark.parametrize(
    ("path", "after", "times"),
    [("/test/query", 0.0, 200), ("/test/query?seconds=0.2", 0.1, 20), ("/test/stream", 0.2, 10)],
    ids=["before-query", "during-query", "during-stream"],
)
def test_hang_ups_cost_no_slot(small_server: Gunicorn, path: str, after: float, times: int) -> None:
    hang_up(small_server, path, after=after, times=times)
    small_server.wait_until_idle()
    assert_capacity(small_server, slots=2)


def test_reload_fails_no_request(server: Gunicorn) -> None:
    before = {each.pid for each in server.connections()}
    with crowd(server, "/test/query?seconds=0.01", clients=4) as answers:
        server.reload()
    counts = answers.counts()
    if WORKER_CLASS == "eventlet":  # gunicorn 25's worker may reset a connection while it stops
        assert counts.pop("ConnectionResetError", 0) <= 4
    assert set(counts) == {200}
    if settings.DATABASE_POOLER:
        return  # PgBouncer keeps its connections
    wait_for(lambda: not before & {c.pid for c in server.connections()}, "old connections to end")
    assert {each.worker for each in server.connections()} <= server.workers()


@pytest.mark.parametrize("what", LEFT)
def test_next_request_finds_clean_session(small_server: Gunicorn, what: str) -> None:
    clean = small_server.get("/test/session").json()
    left = load(small_server, f"/test/leave/{what}", clients=2, requests=2)
    assert statuses(left) == {500 if what in RAISES else 200: 4}
    after = load(small_server, "/test/session", clients=10, requests=2)
    assert statuses(after) == {200: 20}
    assert [response.json() for response in after] == 20 * [clean]


@pytest.mark.skipif(WORKER_CLASS != "asgi", reason="gunicorn 25.2 to 26.0 cut asgi requests off")
def test_every_request_is_finished(gunicorn: StartGunicorn) -> None:
    server = gunicorn(WEB_CONCURRENCY="1")
    before = server.get("/test/signals").json()

    def as_many_finished() -> bool:
        now = server.get("/test/signals").json()
        started, finished = (now[name] - before[name] for name in ("started", "finished"))
        return bool(100 < started == finished)

    assert statuses(load(server, "/livez", clients=5, requests=20)) == {200: 100}
    wait_for(as_many_finished, "gunicorn to finish every request")
