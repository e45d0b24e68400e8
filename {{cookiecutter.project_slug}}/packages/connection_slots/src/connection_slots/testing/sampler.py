"""Count the connections of a server, as pg_stat_activity shows them."""

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from django.db import Error, connection

from connection_slots.testing.clients import Server
from connection_slots.testing.waiting import DEADLINE

INTERVAL = 0.02  # seconds between two samples


@dataclass(frozen=True)
class Connection:
    """One row of pg_stat_activity. `started` is None while the connection is being opened."""

    pid: int
    started: str | None
    application_name: str
    active: bool

    @property
    def worker(self) -> int:
        """Return the pid of the worker that opened the connection."""
        return int(self.application_name.rpartition("-")[2])


@dataclass
class Samples:
    """What the samples of a block have shown."""

    count: int = 0
    peak: int = 0  # connections
    peak_active: int = 0  # connections that run a query
    opened: set[tuple[int, str]] = field(default_factory=set)

    def add(self, seen: list[Connection]) -> None:
        """Add one sample."""
        self.count += 1
        self.peak = max(self.peak, len(seen))
        self.peak_active = max(self.peak_active, sum(each.active for each in seen))
        self.opened |= {(each.pid, each.started) for each in seen if each.started}


@contextmanager
def sampling(server: Server) -> Iterator[Samples]:
    """Sample the connections of `server` on a thread, until the end of the block.

    While the database does not answer, no sample is added.
    """
    samples = Samples()
    stop = threading.Event()

    def sample() -> None:
        try:
            while not stop.wait(INTERVAL):
                try:
                    samples.add(connections_of(server.port))
                except Error:
                    connection.close()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as thread:
        sampler = thread.submit(sample)
        try:
            yield samples
        finally:
            stop.set()
            sampler.result(DEADLINE)


def connections_of(port: int) -> list[Connection]:
    """Return the connections whose application_name ends with "-<port>-<pid>"."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid, backend_start::text, application_name, coalesce(state = 'active', false)"
            " FROM pg_stat_activity WHERE application_name ~ %s",
            [f"-{port}-[0-9]+$"],
        )
        return [Connection(*row) for row in cursor.fetchall()]


def terminate(pids: Iterable[int]) -> None:
    """End these connections on the server's side."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", [list(pids)]
        )
