"""What is read while a load is on: connections every 20 ms, CPU time, memory."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import psutil
import psycopg
from psycopg import sql

from bench.servers import Server
from devdb import Cluster

INTERVAL = 0.02  # seconds between two samples
COUNT = """
    SELECT count(*), count(*) FILTER (WHERE state = 'active') FROM pg_stat_activity
    WHERE datname = %s AND backend_type = 'client backend'
"""
SESSIONS = "SELECT sessions FROM pg_stat_database WHERE datname = %s"


@dataclass
class Connections:
    """PostgreSQL's counts while a load was on."""

    peak: int = 0
    opened: int = 0  # after the warm-up
    series: list[tuple[float, int]] = field(default_factory=list)  # seconds, connections


class Monitor:
    """Read PostgreSQL on a connection of its own, to a database of its own."""

    def __init__(self, cluster: Cluster, template: str) -> None:
        """Connect to `cluster`. Each new database is a copy of `template`."""
        self.cluster = cluster
        self.postmaster = psutil.Process(cluster.pid)
        self._template = template
        self._connection = psycopg.connect(cluster.url, dbname="postgres", autocommit=True)
        self._databases = 0

    @property
    def release(self) -> str:
        """Return PostgreSQL's release."""
        return self._connection.info.parameter_status("server_version") or ""

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def new_database(self) -> str:
        """Create a copy of the seeded database, and return its name."""
        self._databases += 1
        name = f"bench_{self._databases}"
        command = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        self._connection.execute(
            command.format(sql.Identifier(name), sql.Identifier(self._template))
        )
        return name

    def count(self, database: str) -> tuple[int, int]:
        """Return the open connections, and those of them on which a statement runs."""
        row = self._connection.execute(COUNT, [database]).fetchone()
        return row or (0, 0)

    @contextmanager
    def watching(self, database: str, warm_up: float = 0) -> Iterator[Connections]:
        """Sample on a thread while the context lasts; the totals are known when it has ended.

        Connections that were opened within `warm_up` seconds do not count as opened.
        """
        seen, stop, began = Connections(), threading.Event(), time.monotonic()
        before = self._sessions(database)

        def sample() -> None:
            nonlocal before
            while not stop.wait(INTERVAL):
                at = time.monotonic() - began
                seen.series.append((at, self.count(database)[0]))
                if at < warm_up:
                    before = self._sessions(database)

        thread = threading.Thread(target=sample)
        thread.start()
        try:
            yield seen
        finally:
            stop.set()
            thread.join()
            seen.peak = max((count for _, count in seen.series), default=0)
            seen.opened = self._sessions(database) - before

    def _sessions(self, database: str) -> int:
        row = self._connection.execute(SESSIONS, [database]).fetchone()
        return int(row[0]) if row else 0


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
    """Return what has been used so far. A backend that ended is in its postmaster's account."""
    workers = {worker.pid: _seconds(worker) for worker in server.workers()}
    backends = monitor.postmaster.children()
    between = [server.pgbouncer] if server.pgbouncer else []
    return Spent(
        application=_seconds(server.process, ended=True) + sum(workers.values()),
        postgresql=_seconds(monitor.postmaster, ended=True)
        + sum(_seconds(process) for process in [*backends, *between]),
        workers=workers,
    )


def memory(server: Server) -> float:
    """Return the mean resident memory of the workers, in MiB."""
    sizes = []
    for worker in server.workers():
        with suppress(psutil.NoSuchProcess):
            sizes.append(worker.memory_info().rss / 2**20)
    return sum(sizes) / max(1, len(sizes))


def _seconds(process: psutil.Process, *, ended: bool = False) -> float:
    """Return the CPU time of `process`, with that of its ended children if `ended`."""
    with suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        own = times.user + times.system
        return float(own + times.children_user + times.children_system if ended else own)
    return 0.0
