"""What is read beside the load: connections every 20 ms, CPU time, memory."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import LiteralString

import psycopg

from bench.processes import children, resident, seconds
from bench.servers import Gunicorn, PostgreSQL

INTERVAL = 0.02  # seconds between two samples
# A worker with more than this share of the CPU time had all clients, or nearly all.
LOPSIDED = 0.85

_COUNT = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = %s AND backend_type = 'client backend' AND pid <> pg_backend_pid()
"""
_SESSIONS = "SELECT sessions FROM pg_stat_database WHERE datname = %s"


@dataclass
class Connections:
    """What PostgreSQL said while a load was on."""

    peak: int = 0
    opened: int = 0
    series: list[tuple[float, int]] = field(default_factory=list)  # seconds, connections


class Eye:
    """The bench's own connection to PostgreSQL, which is in no count."""

    def __init__(self, server: PostgreSQL) -> None:
        self._connection = psycopg.connect(server.url, autocommit=True)
        self.pid = self._connection.info.backend_pid
        self._databases = 0

    def close(self) -> None:
        self._connection.close()

    def new_database(self) -> str:
        """Its name. What connects to it is counted apart from all else."""
        self._databases += 1
        name = f"bench_{self._databases}"
        self._connection.execute(f"CREATE DATABASE {name}".encode())
        return name

    def count(self, database: str) -> int:
        """Open connections."""
        return self._ask(_COUNT, database)

    @contextmanager
    def watching(self, database: str) -> Iterator[Connections]:
        """Sample on a thread while the context lasts; `opened` is known at its end."""
        seen, stop, began = Connections(), threading.Event(), time.monotonic()
        before = self._ask(_SESSIONS, database)

        def sample() -> None:
            while not stop.wait(INTERVAL):
                seen.series.append((time.monotonic() - began, self.count(database)))

        thread = threading.Thread(target=sample)
        thread.start()
        try:
            yield seen
        finally:
            stop.set()
            thread.join()
            seen.peak = max((count for _, count in seen.series), default=0)
            seen.opened = self._ask(_SESSIONS, database) - before

    def active(self, database: str) -> int:
        """Connections on which a statement runs."""
        return self._ask(_COUNT + " AND state = 'active'", database)

    def _ask(self, sql: LiteralString, database: str) -> int:
        row = self._connection.execute(sql, [database]).fetchone()
        return int(row[0]) if row else 0


@dataclass(frozen=True)
class Spent:
    """CPU seconds, since the processes began."""

    gunicorn: float
    postgresql: float  # PgBouncer's included
    workers: dict[int, float]

    def since(self, before: "Spent") -> "Spent":
        workers = {pid: spent - before.workers.get(pid, 0) for pid, spent in self.workers.items()}
        return Spent(self.gunicorn - before.gunicorn, self.postgresql - before.postgresql, workers)

    @property
    def busiest(self) -> float:
        """The part of the workers' time that one of them spent; LOPSIDED: the work of all."""
        return max(self.workers.values(), default=0) / max(sum(self.workers.values()), 1e-9)


def spent(server: Gunicorn, postgresql: PostgreSQL, eye: Eye) -> Spent:
    """What has been used so far. A backend that ended is in its postmaster's account."""
    workers = {pid: seconds(pid) for pid in server.workers()}
    backends = [pid for pid in children(postgresql.pid) if pid != eye.pid]
    return Spent(
        gunicorn=seconds(server.process.pid, dead_too=True) + sum(workers.values()),
        postgresql=seconds(postgresql.pid, dead_too=True)
        + sum(map(seconds, [*backends, *server.others])),
        workers=workers,
    )


def memory(server: Gunicorn) -> float:
    """Resident memory per worker, MiB: the mean."""
    workers = server.workers()
    return sum(map(resident, workers)) / max(1, len(workers))
