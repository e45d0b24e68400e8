"""PostgreSQL restarts, crashes, is full, or ends a connection."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import dj_database_url
import pytest
from django.db import connection

from connection_slots.backend.base import RESTART_TAKES
from connection_slots.testing.clients import crowd, load, statuses
from connection_slots.testing.sampler import sampling
from connection_slots.testing.server import Gunicorn
from connection_slots.testing.waiting import wait_for
from devdb import Cluster

from .conftest import Serve
from .support import ANSWERED, BOUND, CONNECT, Report, answer, idle_transactions

CLIENTS = 16


def assert_all_served(server: Gunicorn) -> None:
    answered = statuses(load(server, "/test/query", clients=CLIENTS, requests=5))
    assert answered == {200: 5 * CLIENTS}


def wait_until_ready(server: Gunicorn) -> None:
    wait_for(lambda: server.get("/readyz").status == 200, "readiness", ANSWERED + CONNECT)


@pytest.mark.essential
def test_restart_fails_only_running_statements(
    service: Serve, cluster: Cluster, report: Report
) -> None:
    with service() as server:
        load(server, "/test/query", clients=CLIENTS, requests=5)
        with (
            sampling(server) as samples,
            crowd(server, "/test/query?seconds=0.02", clients=CLIENTS) as answers,
        ):
            time.sleep(0.5)
            cluster.stop()
            time.sleep(0.1)  # it has to be up again within RESTART_TAKES
            cluster.start()
            up = time.monotonic()
            time.sleep(1.5)
        report(answers=answers.counts(), peak=samples.peak, slowest=answers.slowest())
        assert set(answers.counts()) <= {200, 503}
        assert answers.counts().get(503, 0) <= BOUND
        assert set(answers.counts(since=up)) == {200}
        assert samples.peak <= BOUND


@pytest.mark.essential
def test_crash_is_answered_with_503(service: Serve, cluster: Cluster, report: Report) -> None:
    with service() as server:
        workers = server.workers()
        load(server, "/test/query", clients=CLIENTS, requests=5)
        with (
            crowd(server, "/test/query", clients=8) as answers,
            crowd(server, "/livez", clients=1) as livez,
        ):
            time.sleep(0.5)
            cluster.kill()
            time.sleep(RESTART_TAKES + 1)
            assert server.get("/readyz").status == 503
            cluster.start()
            wait_until_ready(server)
            up = time.monotonic()
            time.sleep(1)
        report(answers=answers.counts(), slowest=answers.slowest(), livez=livez.counts())
        assert set(answers.counts()) == {200, 503}
        assert set(answers.counts(since=up)) == {200}
        assert answers.slowest() < ANSWERED
        assert set(livez.counts()) == {200}
        assert server.workers() == workers


def test_service_starts_without_postgresql(
    service: Serve, cluster: Cluster, report: Report
) -> None:
    cluster.stop()
    with service() as server:
        workers = server.workers()
        before = {path: server.get(path).status for path in ("/livez", "/readyz")}
        report(before=", ".join(f"{path} {status}" for path, status in before.items()))
        assert before == {"/livez": 200, "/readyz": 503}
        cluster.start()
        wait_until_ready(server)
        assert_all_served(server)
        assert server.workers() == workers


def test_full_server_is_answered_with_503(service: Serve, cluster: Cluster, report: Report) -> None:
    with service() as server:
        others = take_all_connections()
        try:
            refused = load(server, "/test/query", clients=4, requests=1)
        finally:
            for other in others:
                other.close()
        slowest = max(response.seconds for response in refused)
        report(answers=statuses(refused), slowest=slowest, taken=len(others))
        assert statuses(refused) == {503: 4}
        assert slowest < ANSWERED
        wait_until_ready(server)
        assert_all_served(server)


def take_all_connections() -> list[Any]:
    """Open connections until the server has no more for this role."""
    driver = cast(Any, connection).Database
    parameters = connection.get_connection_params()
    connection.close()
    taken: list[Any] = []
    while True:
        try:
            taken.append(driver.connect(**parameters))
        except driver.OperationalError:
            return taken


def test_connections_expire_under_load(service: Serve, report: Report) -> None:
    with service(CONN_MAX_AGE="1") as server:
        with (
            sampling(server) as samples,
            crowd(server, "/test/query", clients=CLIENTS) as answers,
        ):
            wait_for(lambda: len(samples.opened) > 2 * BOUND, "connections to be replaced")
        report(answers=answers.counts(), peak=samples.peak, opened=len(samples.opened))
        assert set(answers.counts()) == {200}
        # A server process takes a moment to exit when its connection was closed and replaced.
        assert samples.peak <= 2 * BOUND


def test_password_may_change(
    service: Serve, cluster: Cluster, tmp_path: Path, report: Report
) -> None:
    """The password comes from libpq's password file, which is read at each connect."""
    database = dj_database_url.parse(cluster.url)
    old, new = str(database["PASSWORD"]), "another-one"
    role = connection.ops.quote_name(str(database["USER"]))
    url = cluster.url.replace(f":{old}@", "@")
    passwords = tmp_path / "pgpass"

    def change(password: str) -> None:
        passwords.write_text(f"*:*:*:*:{password}\n")
        passwords.chmod(0o600)
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER ROLE {role} PASSWORD '{password}'")

    change(old)
    with service(DATABASE_URL=url, PGPASSFILE=str(passwords), CONN_MAX_AGE="1") as server:
        try:
            with crowd(server, "/test/query", clients=8) as answers:
                time.sleep(1)
                change(new)
                server.terminate_connections()
                changed = time.monotonic()
                time.sleep(2.5)
        finally:
            change(old)
        report(answers=answers.counts())
        # A statement may have been running when its connection was terminated.
        assert set(answers.counts()) <= {200, 503}
        assert answers.counts().get(503, 0) <= 8
        assert set(answers.counts(since=changed)) == {200}


@pytest.fixture
def transfers(cluster: Cluster) -> Iterator[None]:
    """Create the table that the view `transfer` writes to."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE transfer (id integer)")
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE transfer")


def count_transfers() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM transfer")
        return int(cursor.fetchone()[0])


@pytest.mark.parametrize("end", ["statement", "commit"])
def test_cut_transaction_commits_nothing(
    service: Serve, transfers: None, end: str, report: Report
) -> None:
    with service() as server:
        assert server.get(f"/faults/transfer/{end}?seconds=0").status == 200
        written = count_transfers()
        with ThreadPoolExecutor(1) as thread:
            cut = thread.submit(answer, server, f"/faults/transfer/{end}?seconds=2")
            wait_for(lambda: idle_transactions(server) == 1, "the transaction to be idle")
            server.terminate_connections()
        report(answer=cut.result(), rows_written=count_transfers() - written)
        assert cut.result() == 503
        assert count_transfers() == written
        assert_all_served(server)


def test_longer_timeout_is_respected(service: Serve, report: Report) -> None:
    """A transaction with a longer statement_timeout is ended by neither server nor watchdog."""
    with service(DATABASE_STATEMENT_TIMEOUT="1") as server:
        before = answer(server, "/test/query?seconds=4")
        longer = answer(server, "/faults/long?seconds=8")  # the watchdog would end it after 5 s
        after = answer(server, "/test/query?seconds=4")
        report(longer=longer, others=[before, after])
        assert longer == 200
        assert (before, after) == (500, 500)  # SET LOCAL ended with the transaction
