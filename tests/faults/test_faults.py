"""What breaks, and what is lost by it: nothing but the statement that was cut in flight."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dj_database_url
import pytest
from django.db import connection

import devdb
from database import WORKER_CLASS
from tests.faults.conftest import (
    BOUND,
    LENDS,
    WORKERS,
    Serve,
    assert_full_capacity,
    open_backends,
    peak,
)
from tests.faults.proxy import Mode, Proxy
from tests.server import Gunicorn, crowd, hang_up, load, statuses, wait_for

Report = Callable[..., None]

# One attempt to connect, after three seconds of retries; and the wait for a slot, or for a
# thread or process that waits so itself.
CONNECT = 3 + 3
DEADLINE = CONNECT + (5 if LENDS else CONNECT) + 1


def test_a_restart_of_postgresql(serve: Serve, cluster: devdb.Cluster, report: Report) -> None:
    with serve() as server:
        load(server, "/query", clients=16, requests=5)
        with peak(server) as highest, crowd(server, "/query?seconds=0.02", clients=16) as asked:
            time.sleep(1)
            cluster.stop()
            time.sleep(1)
            cluster.start()
            up = time.monotonic()
            time.sleep(2.5)
        report(answers=asked.counts(), peak=highest[0], slowest=asked.slowest())
        assert set(asked.counts()) <= {200, 503}
        assert asked.counts().get(503, 0) <= min(BOUND, 16)
        assert set(asked.counts(since=up)) == {200}
        assert highest[0] <= BOUND


def test_a_crash_of_postgresql(serve: Serve, cluster: devdb.Cluster, report: Report) -> None:
    with serve() as server:
        workers = server.workers()
        load(server, "/query", clients=16, requests=5)
        with (
            crowd(server, "/query", clients=8) as asked,
            crowd(server, "/livez", clients=1) as alive,
        ):
            time.sleep(0.5)
            cluster.kill()
            time.sleep(5)
            assert server.get("/readyz").status == 503
            cluster.start()
            wait_for(lambda: server.get("/readyz").status == 200, "readiness to return", 5)
            up = time.monotonic()
            time.sleep(1)
        report(answers=asked.counts(), livez=alive.counts(), slowest=asked.slowest())
        assert set(asked.counts()) <= {200, 503}
        assert set(asked.counts(since=up)) == {200}
        assert set(alive.counts()) == {200}
        assert asked.slowest() < DEADLINE
        assert server.workers() == workers


def test_a_start_without_postgresql(serve: Serve, cluster: devdb.Cluster, report: Report) -> None:
    cluster.stop()
    with serve() as server:
        workers = server.workers()
        assert server.get("/livez").status == 200
        assert server.get("/readyz").status == 503
        cluster.start()
        wait_for(lambda: server.get("/readyz").status == 200, "readiness", 5)
        answered = statuses(load(server, "/query", clients=16, requests=5))
        report(answers=answered)
        assert answered == {200: 80}
        assert server.workers() == workers


def test_a_server_that_accepts_and_never_answers(
    serve: Serve, proxy: Proxy, report: Report
) -> None:
    proxy.mode = Mode.DEAF
    with serve(port=proxy.port) as server:
        with crowd(server, "/livez", clients=1) as alive:
            late = load(server, "/query", clients=4, requests=1)
        slowest = max(response.seconds for response in late)
        report(answers=statuses(late), slowest=slowest, livez=alive.counts())
        assert statuses(late) == {503: 4}
        assert slowest < DEADLINE
        assert set(alive.counts()) == {200}
        if LENDS:
            assert alive.slowest() < 1
        proxy.mode = Mode.PASS
        wait_for(lambda: server.get("/query").status == 200, "recovery", 2 * CONNECT)
        assert statuses(load(server, "/query", clients=16, requests=5)) == {200: 80}


def test_a_network_that_freezes_open_connections(
    serve: Serve, proxy: Proxy, report: Report
) -> None:
    with serve(port=proxy.port, DATABASE_STATEMENT_TIMEOUT="1") as server:
        load(server, "/query", clients=16, requests=5)
        with crowd(server, "/livez", clients=1) as alive:
            proxy.mode = Mode.FREEZE
            late = load(server, "/query", clients=4, requests=1)
        slowest = max(response.seconds for response in late)
        report(answers=statuses(late), slowest=slowest, livez=alive.counts())
        assert statuses(late) == {503: 4}
        # The statement's own deadline, the watch's margin and interval; then as when connecting.
        assert slowest < 1 + 3 + 1 + 1 + DEADLINE
        assert set(alive.counts()) == {200}
        if LENDS:
            assert alive.slowest() < 1
        proxy.mode = Mode.PASS
        time.sleep(6)  # connections that were idle when it froze are found out by their first use
        wait_for(
            lambda: statuses(load(server, "/query", clients=16, requests=2)) == {200: 32},
            "recovery",
            40,
        )


def test_clients_that_hang_up_a_thousand_times(serve: Serve, report: Report) -> None:
    arguments = ["--asgi-disconnect-grace-period", "1"] if WORKER_CLASS == "asgi" else []
    with serve(*arguments) as server:
        hang_up(server, "/query", after=0, times=1000)
        # Not so many that they would wait for slots longer than the clients that come after them.
        hang_up(server, "/query?seconds=1.5", after=0.01, times=BOUND)
        hang_up(server, "/stream", after=0.1, times=100)
        capacity = assert_full_capacity(server)
        report(sent=1100 + BOUND, capacity=f"{capacity} of {BOUND}")


@pytest.mark.skipif(not LENDS, reason="a thread or process is the slot: who waits has none")
def test_slots_taken_by_slow_queries(serve: Serve, report: Report) -> None:
    settings = {"DATABASE_SLOTS": "2", "DATABASE_SLOT_TIMEOUT": "1", "WEB_CONCURRENCY": "1"}
    with serve(**settings) as server:
        with (
            peak(server) as highest,
            crowd(server, "/livez", clients=1) as alive,
            crowd(server, "/query?seconds=0.3", clients=20) as asked,
        ):
            time.sleep(5)
        report(
            answers=asked.counts(), slowest=asked.slowest(), livez=alive.slowest(), peak=highest[0]
        )
        assert set(asked.counts()) == {200, 503}
        assert asked.slowest() < 2
        assert alive.slowest() < 0.5
        assert highest[0] == 2
        server.wait_until_it_rests()
        assert statuses(load(server, "/query", clients=20, requests=5)) == {200: 100}


def test_max_connections_taken_by_others(
    serve: Serve, cluster: devdb.Cluster, report: Report
) -> None:
    with serve() as server:
        others = take_all_connections(cluster)
        try:
            refused = load(server, "/query", clients=4, requests=1)
        finally:
            for other in others:
                other.close()
        report(answers=statuses(refused), taken=len(others))
        assert statuses(refused) == {503: 4}
        assert max(response.seconds for response in refused) < DEADLINE
        wait_for(lambda: server.get("/query").status == 200, "recovery", 5)
        assert statuses(load(server, "/query", clients=16, requests=5)) == {200: 80}


def take_all_connections(cluster: devdb.Cluster) -> list[Any]:
    """Connections until the server has no more for this role."""
    parameters = connection.get_connection_params()
    taken = []
    connection.close()
    while True:
        try:
            taken.append(connection.Database.connect(**parameters))
        except connection.Database.OperationalError:
            return taken


def test_a_worker_killed_in_a_query(serve: Serve, report: Report) -> None:
    with serve() as server, crowd(server, "/query?seconds=6", clients=4):
        wait_for(lambda: any(b.active for b in server.backends()), "a query")
        killed = {backend.worker for backend in server.backends() if backend.active}
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        began = time.monotonic()
        wait_for(lambda: not killed & {b.worker for b in open_backends(server)}, "their end", 8)
        report(left_after=time.monotonic() - began)
        server.stop()


@pytest.mark.skipif(WORKER_CLASS != "sync", reason="timeout aborts requests of this class only")
def test_a_worker_that_is_aborted_at_its_timeout(serve: Serve, report: Report) -> None:
    with serve("--timeout", "2") as server:
        workers = server.workers()
        try:
            aborted: int | str = server.get("/query?seconds=12").status
        except OSError:
            aborted = "closed"
        assert aborted in {"closed", 500}  # psycopg lets the abort through, psycopg2 does not
        wait_for(lambda: server.workers() != workers, "another worker")
        wait_for(lambda: not any(b.active for b in open_backends(server)), "the query's end", 8)
        answered = statuses(load(server, "/query", clients=16, requests=5))
        report(aborted=aborted, answers=answered)
        assert answered == {200: 80}


def test_workers_that_recycle_under_load(serve: Serve, report: Report) -> None:
    with serve("--max-requests", "100", "--max-requests-jitter", "20") as server:
        with peak(server) as highest, crowd(server, "/query", clients=4) as asked:
            time.sleep(4)
        wait_for(lambda: stay(server), "the last worker to be replaced")
        report(answers=asked.counts(), peak=highest[0])
        assert asked.counts().get(200, 0) > 100
        assert set(asked.counts()) <= {200, *recycling_costs()}
        # While a worker is replaced, it and its successor both hold connections.
        assert highest[0] <= 2 * BOUND


def stay(server: Gunicorn) -> bool:
    """Whether the workers are the same for a second. gunicorn's worker does not hear a SIGTERM
    that comes right after its fork, and is killed when `graceful_timeout` is over."""
    before = server.workers()
    time.sleep(1)
    return server.workers() == before


def recycling_costs() -> set[str]:
    """What gunicorn itself does to clients when it recycles: not about the database."""
    return {"ConnectionResetError", "RemoteDisconnected", "BadStatusLine"}


def test_a_graceful_stop_under_load(serve: Serve, report: Report) -> None:
    with serve() as server:
        load(server, "/query", clients=8, requests=2)
        running = [ask_on_a_thread(server, "/query?seconds=1") for _ in range(WORKERS)]
        wait_for(lambda: sum(b.active for b in server.backends()) == WORKERS, "the queries")
        server.process.terminate()
        for thread, _ in running:
            thread.join(30)
        answered = [answers for _, answers in running]
        report(answers=answered)
        assert answered == [[200]] * WORKERS
        assert server.process.wait(30) == 0
        wait_for(lambda: not server.backends(), "all connections to end")


def ask_on_a_thread(server: Gunicorn, path: str) -> tuple[threading.Thread, list[int | str]]:
    answers: list[int | str] = []

    def ask() -> None:
        try:
            answers.append(server.get(path).status)
        except OSError as error:
            answers.append(repr(error))

    thread = threading.Thread(target=ask)
    thread.start()
    return thread, answers


def test_connections_that_expire_under_load(serve: Serve, report: Report) -> None:
    with serve(CONN_MAX_AGE="1") as server:
        with peak(server) as highest, crowd(server, "/query", clients=16) as asked:
            time.sleep(4)
        report(answers=asked.counts(), peak=highest[0])
        assert set(asked.counts()) == {200}
        # A backend needs a moment to exit when its connection has been closed, and replaced.
        assert highest[0] <= 2 * BOUND


def test_a_password_that_rotates(
    serve: Serve, cluster: devdb.Cluster, tmp_path: Path, report: Report
) -> None:
    """The password comes from libpq's password file, which is read at each connect."""
    database = dj_database_url.parse(cluster.url)
    old, new = database["PASSWORD"], "another-one"
    role = connection.ops.quote_name(database["USER"])
    url = cluster.url.replace(f":{old}@", "@")
    passfile = tmp_path / "pgpass"

    def rotate(password: str) -> None:
        passfile.write_text(f"*:*:*:*:{password}\n")
        passfile.chmod(0o600)
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER ROLE {role} PASSWORD '{password}'")

    rotate(old)
    with serve(DATABASE_URL=url, PGPASSFILE=str(passfile), CONN_MAX_AGE="1") as server:
        try:
            with crowd(server, "/query", clients=8) as asked:
                time.sleep(1)
                rotate(new)
                server.terminate_backends()
                time.sleep(2.5)
        finally:
            rotate(old)
        report(answers=asked.counts())
        # A statement may have been in flight when its backend was terminated.
        assert set(asked.counts()) <= {200, 503}
        assert asked.counts().get(503, 0) <= 8
        assert server.get("/query").status == 200


HOSTILE = {
    "not HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    "an endless request line": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "an endless header": b"GET /livez HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
    "ten thousand headers": b"GET /livez HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 10_000 + b"\r\n",
    "a lying length": b"POST /notes/ HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "a huge length": b"POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n",
    "two lengths": b"POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bytes that are no text": b"GET /notes/\xff\xfe?x=\xff HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "a path upwards": b"GET /../../etc/passwd HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
}


def test_hostile_requests(serve: Serve, report: Report) -> None:
    with serve() as server:
        workers = server.workers()
        with crowd(server, "/livez", clients=2) as alive:
            answers = {name: send_raw(server, request) for name, request in HOSTILE.items()}
        report(answers=", ".join(answers.values()), others=alive.counts())
        assert all(
            answer in {"closed", "400", "404", "405", "413", "414", "431", "301"}
            for answer in answers.values()
        ), answers
        assert set(alive.counts()) == {200}
        assert server.workers() == workers


def send_raw(server: Gunicorn, request: bytes) -> str:
    """The status that came for these bytes, or `closed`."""
    with socket.create_connection(("127.0.0.1", server.port), 5) as client:
        try:
            client.sendall(request)
            client.shutdown(socket.SHUT_WR)
            answer = client.recv(1000)
        except TimeoutError:
            return "no answer"
        except OSError:
            return "closed"
    return answer[9:12].decode() if answer.startswith(b"HTTP/1.1 ") else "closed"


@pytest.mark.skipif(
    WORKER_CLASS == "sync", reason="a slow client holds a sync worker: it needs a buffering proxy"
)
def test_clients_that_send_slowly(serve: Serve, report: Report) -> None:
    with serve() as server:
        # A slow client holds a thread of gthread: beyond those, only a buffering proxy helps.
        number = 2 if WORKER_CLASS == "gthread" else 100
        slow = [socket.create_connection(("127.0.0.1", server.port), 5) for _ in range(number)]
        try:
            for client in slow:
                client.sendall(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
            with crowd(server, "/livez", clients=4) as asked:
                for _ in range(10):
                    time.sleep(0.3)
                    for client in slow:
                        client.sendall(b"a")
            report(answers=asked.counts(), slowest=asked.slowest(), slow_clients=len(slow))
            assert set(asked.counts()) == {200}
        finally:
            for client in slow:
                client.close()
