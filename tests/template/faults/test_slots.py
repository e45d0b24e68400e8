"""All slots are in use, or their clients leave."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.conf import settings

from connection_slots.testing.capacity import assert_capacity
from connection_slots.testing.clients import crowd, hang_up, load, statuses
from connection_slots.testing.sampler import sampling
from connection_slots.testing.server import Gunicorn
from connection_slots.testing.waiting import wait_for

from .conftest import Limit, Serve
from .support import BOUND, SYNC, Report, assert_full_capacity, idle_transactions

# With gthread they leave some of the 20 threads to /livez.
CLIENTS = 12

not_sync = pytest.mark.skipif(SYNC, reason="a sync worker serves one request at a time")


@pytest.fixture
def server(service: Serve) -> Iterator[Gunicorn]:
    """Run a gunicorn with two slots. A request waits a second for one."""
    with service(WEB_CONCURRENCY="1", DATABASE_SLOTS="2", DATABASE_SLOT_TIMEOUT="1") as server:
        yield server


@pytest.mark.essential
@not_sync
def test_slow_queries_exhaust_the_slots(
    server: Gunicorn, report: Report, prompt_limit: Limit
) -> None:
    with (
        sampling(server) as samples,
        crowd(server, "/livez", clients=1) as livez,
        crowd(server, "/test/query?seconds=0.5", clients=CLIENTS) as answers,
    ):
        time.sleep(4)
    report(
        answers=answers.counts(),
        slowest=answers.slowest(),
        peak=samples.peak,
        slowest_livez=livez.slowest(),
    )
    assert set(answers.counts()) == {200, 503}
    assert answers.slowest() < 1 + 0.5 + prompt_limit()
    assert set(livez.counts()) == {200}
    assert livez.slowest() < prompt_limit()
    assert samples.peak == 2
    server.wait_until_idle()
    wait_for(
        lambda: statuses(load(server, "/test/query", clients=20, requests=5)) == {200: 100},
        "all to be served",
    )
    assert_capacity(server, slots=2)


@not_sync
def test_idle_transaction_keeps_its_slot(
    server: Gunicorn, report: Report, prompt_limit: Limit
) -> None:
    with ThreadPoolExecutor(1) as thread:
        holding = thread.submit(load, server, "/test/atomic?seconds=6", clients=2, requests=1)
        wait_for(lambda: idle_transactions(server) == 2, "both transactions to be idle")
        late = load(server, "/test/query", clients=CLIENTS, requests=1)
        assert idle_transactions(server) == 2
        livez = server.get("/livez")
        report(answers=statuses(late), transactions=statuses(holding.result()))
        assert statuses(late) == {503: CLIENTS}
        assert all(int(response.headers["retry-after"]) > 0 for response in late)
        assert all(1 <= response.seconds < 1 + prompt_limit() for response in late)
        assert livez.status == 200
        assert livez.seconds < prompt_limit()
        assert statuses(holding.result()) == {200: 2}
        for response in holding.result():
            before, after = response.json()["connections"]
            assert before == after
        assert statuses(load(server, "/test/query", clients=CLIENTS, requests=5)) == {
            200: 5 * CLIENTS
        }
        assert_capacity(server, slots=2)


@pytest.mark.essential
def test_thousand_hang_ups_lose_no_slot(service: Serve, report: Report) -> None:
    # Otherwise gunicorn leaves a request running for longer than it takes by itself.
    asgi = settings.GUNICORN_WORKER_CLASS == "asgi"
    arguments = ["--asgi-disconnect-grace-period", "1"] if asgi else []
    with service(*arguments) as server:
        hang_up(server, "/test/query", after=0, times=1000)
        # Not so many that they would wait for slots longer than the clients that come after them.
        hang_up(server, "/test/query?seconds=1.5", after=0.01, times=BOUND)
        hang_up(server, "/test/stream", after=0.1, times=100)
        capacity = assert_full_capacity(server)
        report(sent=1100 + BOUND, capacity=f"{capacity} of {BOUND}")
