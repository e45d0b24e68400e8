"""What is read beside the load: connections every 20 ms, CPU time, memory."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import LiteralString

import psycopg

from bench.servers import Gunicorn, PostgreSQL

INTERVAL = 0.02  # seconds between two samples
# A worker with more than this share of the CPU time had all clients, or nearly all.
LOPSIDED = 0.85

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_COUNT = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
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

    def rest(self, database: str, deadline: float = 10.0) -> None:
        """Until no statement runs: what a load left behind has ended."""
        give_up = time.monotonic() + deadline
        active = _COUNT + " AND state = 'active'"
        while self._ask(active, database) and time.monotonic() < give_up:
            time.sleep(INTERVAL)

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
    workers = {pid: _seconds(pid) for pid in server.workers()}
    backends = [pid for pid in _children(postgresql.pid) if pid != eye.pid]
    return Spent(
        gunicorn=_seconds(server.process.pid, dead_too=True) + sum(workers.values()),
        postgresql=_seconds(postgresql.pid, dead_too=True)
        + sum(map(_seconds, [*backends, *server.others])),
        workers=workers,
    )


def memory(server: Gunicorn) -> float:
    """Resident memory per worker, MiB: the mean."""
    pages = [int(_read(pid, "statm").split()[1]) for pid in server.workers()]
    return sum(pages) * _PAGE / 2**20 / max(1, len(pages))


def _seconds(pid: int, dead_too: bool = False) -> float:
    # proc(5): utime, stime, cutime, cstime are fields 14 to 17; the name before may have spaces.
    fields = _read(pid, "stat").rpartition(")")[2].split()
    return sum(map(int, fields[11 : 15 if dead_too else 13])) / _TICKS


def _children(pid: int) -> list[int]:
    return [int(child) for child in _read(pid, f"task/{pid}/children").split()]


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        return ""  # it has ended
