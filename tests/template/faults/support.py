"""What the fault tests and the soak have in common."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path

from django.conf import settings
from django.db import Error, connection

from connection_slots.backend.base import CONNECT_TIMEOUT, RESTART_TAKES
from connection_slots.testing.clients import crowd
from connection_slots.testing.sampler import Connection, sampling
from connection_slots.testing.server import Gunicorn, serving
from connection_slots.testing.waiting import wait_for
from devdb import Cluster

Report = Callable[..., None]

SYNC = settings.GUNICORN_WORKER_CLASS == "sync"
WORKERS = 2
SLOTS = 1 if SYNC else 4  # of each worker: few, so that few clients exhaust them
BOUND = WORKERS * SLOTS

# Seconds that a request waits for a connection: attempts during a restart, and one more.
CONNECT = RESTART_TAKES + CONNECT_TIMEOUT
# Seconds in which a request is answered while the database is away. It may wait for a slot before,
# or with sync for another request, and the machine may be busy.
ANSWERED = CONNECT + (CONNECT if SYNC else settings.DATABASE_SLOT_TIMEOUT) + 2.0
# Seconds in which a request is answered that does not use the database, while the machine runs.
PROMPT = 2.0


@contextmanager
def serve(
    cluster: Cluster, log: Path, *arguments: str, port: int | None = None, **environment: str
) -> Iterator[Gunicorn]:
    """Run the project's gunicorn for the block, with WORKERS workers of SLOTS slots each.

    It connects to `port` in place of the cluster's, and its environment has `environment`.
    """
    url = cluster.url.replace(f":{cluster.port}/", f":{port or cluster.port}/")
    default = {
        "DATABASE_URL": url,
        "DATABASE_SLOTS": str(SLOTS),
        "DJANGO_SETTINGS_MODULE": "tests.faults.settings",
        "WEB_CONCURRENCY": str(WORKERS),
    }
    with serving(log, *arguments, **default | environment) as server:
        yield server


def open_connections(server: Gunicorn) -> list[Connection]:
    """Return the connections of `server`: none while the database is away."""
    try:
        return server.connections()
    except Error:
        connection.close()
        return []


def idle_transactions(server: Gunicorn) -> int:
    """Return how many of the server's connections are in a transaction and run no statement."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE application_name ~ %s AND state = 'idle in transaction'",
            [f"-{server.port}-[0-9]+$"],
        )
        return int(cursor.fetchone()[0])


def answer(server: Gunicorn, path: str) -> int | str:
    """Return the status for one request, or the name of the error that its client gets."""
    try:
        return server.get(path).status
    except (OSError, HTTPException) as error:
        return type(error).__name__


def send_bytes(server: Gunicorn, request: bytes) -> str:
    """Return the status for these bytes, or `closed`, or `no answer` after ten seconds."""
    with socket.create_connection(("127.0.0.1", server.port), 10) as client:
        try:
            client.sendall(request)
            client.shutdown(socket.SHUT_WR)
            answered = client.recv(1000)
        except TimeoutError:
            return "no answer"
        except OSError:
            return "closed"
    return answered[9:12].decode() if answered.startswith(b"HTTP/1.1 ") else "closed"


def assert_full_capacity(server: Gunicorn) -> int:
    """Assert that as many queries run at once as there are slots, on no more connections.

    Return that number. The kernel does not divide requests evenly among workers, so clients ask
    again until all slots were in use at the same moment.
    """
    server.wait_until_idle()
    with (
        sampling(server) as samples,
        crowd(server, "/test/query?seconds=0.2", clients=2 * BOUND) as answers,
    ):
        wait_for(lambda: samples.peak_active >= BOUND, f"{BOUND} queries at once")
    assert set(answers.counts()) == {200}, answers.counts()
    assert samples.peak_active == BOUND
    assert samples.peak <= BOUND
    return samples.peak_active
