"""Workers are killed, aborted, recycled and stopped; clients are hostile or slow."""

import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.conf import settings

from connection_slots.testing.clients import crowd, load, statuses
from connection_slots.testing.sampler import sampling
from connection_slots.testing.server import Gunicorn
from connection_slots.testing.waiting import wait_for

from .conftest import Limit, Serve
from .support import (
    BOUND,
    SYNC,
    WORKERS,
    Report,
    answer,
    open_connections,
    send_bytes,
)

# Errors that gunicorn itself causes to clients when it replaces a worker.
CUT_OFF = {"ConnectionResetError", "RemoteDisconnected", "BadStatusLine"}


@pytest.mark.essential
def test_killed_worker_leaves_no_connection(service: Serve, report: Report) -> None:
    queries = min(4, BOUND)
    with service() as server, ThreadPoolExecutor(queries) as threads:
        cut = [threads.submit(answer, server, "/test/query?seconds=14") for _ in range(queries)]
        wait_for(
            lambda: sum(each.active for each in server.connections()) == queries, "the queries"
        )
        killed = server.workers()
        began = time.monotonic()
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        # client_connection_check_interval is 2 s.
        wait_for(lambda: not killed & {c.worker for c in server.connections()}, "their end", 8)
        report(connections_left_for=time.monotonic() - began)
        assert {one.result() for one in cut} <= CUT_OFF
        assert statuses(load(server, "/test/query", clients=16, requests=5)) == {200: 80}


@pytest.mark.skipif(not SYNC, reason="gunicorn's timeout ends a request with sync only")
def test_aborted_worker_leaves_no_connection(service: Serve, report: Report) -> None:
    with service("--timeout", "2") as server:
        workers = server.workers()
        aborted = answer(server, "/test/query?seconds=14")
        # psycopg lets the abort through, psycopg2 does not.
        assert aborted in {500, *CUT_OFF}
        wait_for(lambda: server.workers() != workers, "another worker")
        wait_for(lambda: not any(c.active for c in open_connections(server)), "the query's end", 8)
        answered = statuses(load(server, "/test/query", clients=16, requests=5))
        report(aborted=aborted, answers=answered)
        assert answered == {200: 80}


def test_recycled_workers_stay_bounded(service: Serve, report: Report) -> None:
    with service("--max-requests", "100", "--max-requests-jitter", "20") as server:
        first = server.workers()
        with (
            sampling(server) as samples,
            crowd(server, "/test/query", clients=4) as answers,
        ):
            wait_for(lambda: answers.counts().get(200, 0) > 500, "500 answers")
        wait_for(lambda: settled(server), "the last worker to be replaced")
        report(answers=answers.counts(), peak=samples.peak)
        assert server.workers().isdisjoint(first)
        assert set(answers.counts()) <= {200, *CUT_OFF}
        # While a worker is replaced, it and its successor both hold connections.
        assert samples.peak <= 2 * BOUND


def settled(server: Gunicorn) -> bool:
    """Return True if the workers stay the same for a second.

    gunicorn's worker does not hear a SIGTERM right after its fork, and is then killed when
    `graceful_timeout` is over.
    """
    before = server.workers()
    time.sleep(1)
    return server.workers() == before


def test_graceful_stop_finishes_requests(service: Serve, report: Report) -> None:
    with service() as server, ThreadPoolExecutor(WORKERS) as threads:
        load(server, "/test/query", clients=8, requests=2)
        running = [threads.submit(answer, server, "/test/query?seconds=3") for _ in range(WORKERS)]
        wait_for(
            lambda: sum(each.active for each in server.connections()) == WORKERS, "the queries"
        )
        server.process.terminate()
        answered = [one.result() for one in running]
        report(answers=answered)
        assert answered == [200] * WORKERS
        assert server.process.wait(30) == 0


HOSTILE = {
    "not HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    "an endless request line": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "an endless header": b"GET /livez HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
    "ten thousand headers": b"GET /livez HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 10_000 + b"\r\n",
    "a negative length": b"POST /notes/ HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "a huge length": b"POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n",
    "two lengths": b"POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bytes that are no text": b"GET /notes/\xff\xfe?x=\xff HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "a path upwards": b"GET /../../etc/passwd HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
}


def test_hostile_requests_end_no_worker(service: Serve, report: Report) -> None:
    with service() as server:
        workers = server.workers()
        with crowd(server, "/livez", clients=2) as livez:
            answers = {name: send_bytes(server, request) for name, request in HOSTILE.items()}
        report(answers=list(answers.values()), livez=livez.counts())
        expected = {"closed", "301", "400", "404", "405", "413", "414", "431"}
        assert set(answers.values()) <= expected, answers
        assert set(livez.counts()) == {200}
        assert server.workers() == workers


@pytest.mark.skipif(SYNC, reason="a slow client occupies a sync worker: put a proxy in front")
def test_slow_clients_delay_nobody(service: Serve, report: Report, prompt_limit: Limit) -> None:
    # With gthread they occupy threads, of which there are 20: beyond those only a proxy helps.
    number = 10 if settings.GUNICORN_WORKER_CLASS == "gthread" else 100
    with service() as server:
        slow = [socket.create_connection(("127.0.0.1", server.port), 5) for _ in range(number)]
        try:
            for client in slow:
                client.sendall(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
            with crowd(server, "/livez", clients=4) as answers:
                for _ in range(10):
                    time.sleep(0.3)
                    for client in slow:
                        client.sendall(b"a")
        finally:
            for client in slow:
                client.close()
        report(answers=answers.counts(), slowest=answers.slowest(), slow_clients=number)
        assert set(answers.counts()) == {200}
        assert answers.slowest() < prompt_limit()
