"""Sample connections while the fleet runs, and make the figures of one event."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import psycopg

from connection_slots.testing.clients import Answers

INTERVAL = 0.02  # seconds between two samples
CONNECT = 2  # seconds for one attempt to connect; libpq takes no less
DEADLINE = 30.0  # seconds for a sampler to end

# All connections but the sampler's own: also those that are just being opened.
SERVER = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
)
CLIENTS = "SHOW POOLS"


def first_number(rows: list[dict[str, Any]]) -> int:
    """Return the only number of a query's answer."""
    return int(next(iter(rows[0].values())))


def pool_clients(rows: list[dict[str, Any]]) -> int:
    """Return the clients in PgBouncer's pools, but for those of its own console."""
    pools = [row for row in rows if row["database"] != "pgbouncer"]
    return sum(int(row["cl_active"]) + int(row["cl_waiting"]) for row in pools)


class Sampler:
    """A thread that reads a number again and again, on a connection of its own.

    While the server does not answer, no sample is added.
    """

    def __init__(self, url: str, query: str, count: Callable[[list[dict[str, Any]]], int]) -> None:
        """Sample what `count` makes of the rows of `query`, from the server of `url`."""
        self._url, self._query, self._count = url, query, count
        self._samples: list[tuple[float, int]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(DEADLINE)

    def peak(self, since: float, until: float) -> int:
        """Return the highest number between two times. Raises AssertionError without a sample."""
        found = [number for at, number in list(self._samples) if since <= at < until]
        assert found, f"no sample of {self._query!r}"
        return max(found)

    def _run(self) -> None:
        while not self._stop.wait(INTERVAL):
            try:
                # Statements go as simple queries: PgBouncer's console takes no others.
                with psycopg.connect(
                    self._url, autocommit=True, connect_timeout=CONNECT
                ) as connection:
                    self._sample(connection)
            except psycopg.Error:
                continue  # it restarts

    def _sample(self, connection: psycopg.Connection[Any]) -> None:
        with connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
            while not self._stop.wait(INTERVAL):
                number = self._count(cursor.execute(self._query.encode()).fetchall())
                self._samples.append((time.monotonic(), number))


@dataclass(frozen=True)
class Outcome:
    """What one event did. `clients` is None without PgBouncer, `recovery` where it never came."""

    event: str
    planned: bool
    served: int
    failed: dict[str, int]
    server: int
    clients: int | None
    recovery: float | None
    slowest: float


def answered(answers: Answers, since: float, until: float) -> list[tuple[float, float, str]]:
    """Return the requests that ended between two times: when, after how long, and the answer.

    A request in flight when an event begins is one that the event may fail.
    """
    ended = [(began + took, took, str(what)) for began, took, what in list(answers.answers)]
    return sorted(each for each in ended if since <= each[0] < until)


def failures(requests: list[tuple[float, float, str]]) -> dict[str, int]:
    """Return how often each status other than 200, or exception, came."""
    return dict(Counter(what for _, _, what in requests if what != "200"))


def recovery(requests: list[tuple[float, float, str]], since: float) -> float | None:
    """Return the seconds from `since` to the first second with answers and without failures.

    None if there is no such second.
    """
    begin = since
    while True:
        later = [each for each in requests if each[0] > begin]
        second = [each for each in later if each[0] < begin + 1]
        failed = [ended for ended, _, what in second if what != "200"]
        if failed:
            begin = failed[-1]
        elif second:
            return begin - since
        elif later:
            begin = later[0][0] - 1e-6  # nobody was answered until then
        else:
            return None
