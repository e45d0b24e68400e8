"""What is read while a load is on: connections every 20 ms, CPU time, memory."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import NamedTuple

import psutil
import psycopg
from psycopg import sql

from bench.servers import Server
from devdb import Cluster

INTERVAL = 0.02  # seconds between two samples, or as long as PostgreSQL takes for one
COUNT = """
    SELECT count(*), count(*) FILTER (WHERE state = 'active'),
        (SELECT sessions FROM pg_stat_database WHERE datname = %(name)s)
    FROM pg_stat_activity WHERE datname = %(name)s AND backend_type = 'client backend'
"""


class Count(NamedTuple):
    """Connections to one database."""

    open: int
    active: int  # those on which a statement runs
    opened: int  # all that were opened since the database was made


@dataclass
class Connections:
    """The counts while a load was on. What happens within `warm_up` seconds is no opening."""

    warm_up: float
    series: list[tuple[float, Count]] = field(default_factory=list)  # seconds since the beginning

    @property
    def peak(self) -> int:
        """Return the most connections at any sample."""
        return max(count.open for _, count in self.series)

    @property
    def opened(self) -> int:
        """Return how many connections were opened after the warm-up."""
        warm = [count.opened for at, count in self.series if at <= self.warm_up]
        return self.series[-1][1].opened - warm[-1]


class Monitor:
    """Read PostgreSQL on a connection of its own, to a database of its own."""

    def __init__(self, cluster: Cluster) -> None:
        """Connect to `cluster`, whose own database is seeded."""
        self.cluster = cluster
        self._postmaster = psutil.Process(cluster.pid)
        self._connection = psycopg.connect(cluster.url, dbname="postgres", autocommit=True)
        self.release = self._connection.info.parameter_status("server_version") or ""
        self._databases = 0

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def new_database(self) -> str:
        """Create a copy of the seeded database, and return its name."""
        self._databases += 1
        name = f"bench_{self._databases}"
        names = sql.Identifier(name), sql.Identifier(self.cluster.name)
        self._connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*names))
        return name

    def count(self, database: str) -> Count:
        """Return the connections to `database`."""
        row = self._connection.execute(COUNT, {"name": database}).fetchone()
        return Count(*row or (0, 0, 0))

    @contextmanager
    def watching(self, database: str, warm_up: float = 0) -> Iterator[Connections]:
        """Sample on a thread while the context lasts."""
        seen, stop, began = Connections(warm_up), threading.Event(), time.monotonic()

        def sample() -> None:
            due = 0.0
            while not stop.wait(max(0, began + due - time.monotonic())):
                seen.series.append((time.monotonic() - began, self.count(database)))
                due = max(due + INTERVAL, time.monotonic() - began)

        with ThreadPoolExecutor(max_workers=1) as sampler:
            sampling = sampler.submit(sample)
            try:
                yield seen
            finally:
                stop.set()
        sampling.result()
        seen.series.append((time.monotonic() - began, self.count(database)))

    def postgresql(self) -> float:
        """Return the CPU seconds that PostgreSQL has used, without those for this monitor."""
        own = self._connection.info.backend_pid
        backends = [each for each in self._postmaster.children() if each.pid != own]
        return sum(map(_seconds, [self._postmaster, *backends]))


@dataclass(frozen=True)
class Spent:
    """CPU seconds since the processes began."""

    application: float
    postgresql: float  # with PgBouncer
    workers: dict[int, float]

    def since(self, before: "Spent") -> "Spent":
        """Return the difference."""
        workers = {pid: spent - before.workers.get(pid, 0) for pid, spent in self.workers.items()}
        return Spent(
            self.application - before.application, self.postgresql - before.postgresql, workers
        )

    @property
    def busiest(self) -> float:
        """Return the part of the workers' time that one of them spent: 1 / WORKERS to 1."""
        return max(self.workers.values(), default=0) / max(sum(self.workers.values()), 1e-9)


def spent(server: Server, monitor: Monitor) -> Spent:
    """Return what has been used so far."""
    workers = {worker.pid: _seconds(worker) for worker in server.workers()}
    between = _seconds(psutil.Process(server.pgbouncer.pid)) if server.pgbouncer else 0
    return Spent(
        application=_seconds(server.process) + sum(workers.values()),
        postgresql=monitor.postgresql() + between,
        workers=workers,
    )


def memory(server: Server) -> float:
    """Return the mean resident memory of the workers, in MiB."""
    sizes = [0.0]
    for worker in server.workers():
        with suppress(psutil.NoSuchProcess):
            sizes.append(worker.memory_info().rss / 2**20)
    return sum(sizes) / max(1, len(sizes) - 1)


def _seconds(process: psutil.Process) -> float:
    """Return the CPU time of `process`, with that of its children that have ended."""
    with suppress(psutil.NoSuchProcess):
        return float(sum(process.cpu_times()[:4]))
    return 0.0
