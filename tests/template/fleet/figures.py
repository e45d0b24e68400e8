"""Sample connections while the fleet runs, and make the figures of one event."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

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


@dataclass
class Samples:
    """The numbers that a query gave, and when."""

    query: str
    found: list[tuple[float, int]] = field(default_factory=list)

    def peak(self, since: float, until: float) -> int:
        """Return the highest number between two times. Raises AssertionError without a sample."""
        found = [number for at, number in list(self.found) if since <= at < until]
        assert found, f"no sample of {self.query!r}"
        return max(found)


@contextmanager
def sampling(
    url: str, query: str, count: Callable[[list[dict[str, Any]]], int]
) -> Iterator[Samples]:
    """Sample what `count` makes of the rows of `query` on a thread, until the end of the block.

    While the server of `url` does not answer, no sample is added.
    """
    samples = Samples(query)
    stop = threading.Event()

    def sample() -> None:
        while not stop.wait(INTERVAL):
            try:
                # Statements go as simple queries: PgBouncer's console takes no others.
                with (
                    psycopg.connect(url, autocommit=True, connect_timeout=CONNECT) as connection,
                    connection.cursor(row_factory=psycopg.rows.dict_row) as cursor,
                ):
                    while not stop.wait(INTERVAL):
                        number = count(cursor.execute(query.encode()).fetchall())
                        samples.found.append((time.monotonic(), number))
            except psycopg.Error:
                continue  # it restarts

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        stop.set()
        thread.join(DEADLINE)


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
