"""What the template promises about its speed, as ratios within one run."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from bench.analysis import Figures, Spread, value_of
from bench.load import Load
from bench.plan import LENDING, MAIN, PLAIN

WORKER_CLASSES = (*LENDING, "gthread", "sync")


@dataclass(frozen=True)
class Target:
    """One promise, and what was measured."""

    what: str
    wanted: str
    measured: Spread
    met: bool
    # What the same service reaches with a view that does nothing: nobody could do better.
    limit: float | None = None


def targets(figures: Figures) -> Iterator[Target]:
    """All that the run has the figures for."""
    for what, ours, theirs, load, limit in RATIOS:
        if measured := figures.ratio(ours, theirs, load, "rate"):
            best = figures.spread(ours, PLAIN, "rate") if load != PLAIN else None
            peer = figures.spread(theirs, load, "rate")
            met = _at_least(what, measured, limit)
            yield replace(met, limit=best.median / peer.median if best and peer else None)
    yield from _tail(figures)
    for worker_class in WORKER_CLASSES:
        for rule in (_bounded, _opened, _failed):
            if figures.of_service(worker_class):
                yield rule(figures, worker_class)
    yield from _beside(figures)


GEVENT, GEVENT_3, ASGI = (
    "gevent: slots, psycopg2",
    "gevent: slots, psycopg",
    "asgi: slots, psycopg2",
)
RATIOS: list[tuple[str, str, str, Load, float]] = [
    ("gevent, psycopg2 / Django's pool", GEVENT, "gevent: Django's pool", MAIN, 1.4),
    (
        "gevent, psycopg2 / django-db-geventpool",
        GEVENT,
        "gevent: django-db-geventpool",
        MAIN,
        1.5,
    ),
    ("gevent, psycopg2 / CONN_MAX_AGE=0", GEVENT, "gevent: CONN_MAX_AGE=0", MAIN, 20),
    (
        "gevent, psycopg2 / a connection per client, never closed",
        GEVENT,
        "gevent: never closed, no health check",
        MAIN,
        0.95,
    ),
    ("gevent, psycopg 3 / Django's pool", GEVENT_3, "gevent: Django's pool", MAIN, 1.2),
    ("asgi, psycopg2 / Django's pool", ASGI, "asgi: Django's pool", MAIN, 2.0),
    ("asgi, psycopg2 / CONN_MAX_AGE=0", ASGI, "asgi: CONN_MAX_AGE=0", MAIN, 15),
    ("asgi / CONN_MAX_AGE=0, both without database", ASGI, "asgi: CONN_MAX_AGE=0", PLAIN, 2.0),
    *(
        (
            f"{worker_class}, health check on / off",
            f"{worker_class}: slots, psycopg2",
            f"{worker_class}: slots, psycopg2, no health check",
            MAIN,
            0.95,
        )
        for worker_class in ("gthread", "sync")
    ),
]


def _at_least(what: str, measured: Spread, limit: float) -> Target:
    return Target(
        f"{what}: requests per second", f">= {limit:g}", measured, measured.median >= limit
    )


def _tail(figures: Figures) -> Iterator[Target]:
    if measured := figures.ratio(GEVENT, "gevent: Django's pool", MAIN, "p99"):
        met = measured.median <= 1
        yield Target("gevent, psycopg2 / Django's pool: p99", "<= 1", measured, met)


def _bounded(figures: Figures, worker_class: str) -> Target:
    runs = figures.of_service(worker_class)
    over = [run["peak"] / run["bound"] for run in runs]
    samples = sum(run["samples"] for run in runs)
    what = f"{worker_class}: highest count / (workers x slots), {samples:,} samples"
    return Target(what, "<= 1", Spread.of(over), max(over) <= 1)


def _opened(figures: Figures, worker_class: str) -> Target:
    runs = [run for run in figures.of_service(worker_class) if run["view"] == "query"]
    requests = sum(run["requests"] for run in runs)
    each = sum(run["opened"] for run in runs) / max(1, requests)
    what = f"{worker_class}: connections opened per quick query, {requests:,} requests"
    return Target(what, "< 0.002", Spread.of([each]), each < 0.002)


def _failed(figures: Figures, worker_class: str) -> Target:
    runs = figures.of_service(worker_class)
    failed = sum(value_of(run, "failed") for run in runs)
    requests = sum(run["requests"] for run in runs)
    what = f"{worker_class}: failed requests of {requests:,}"
    return Target(what, "0", Spread.of([failed]), failed == 0)


def _beside(figures: Figures) -> Iterator[Target]:
    for worker_class in LENDING:
        ratios = [
            noted["beside"] / noted["alone"]
            for noted in figures.raw["beside"]
            if noted["configuration"].startswith(f"{worker_class}:")
            and noted["alone"]
            and noted["others"]  # else no slot was taken
        ]
        if ratios:
            what = f"{worker_class}: a client without database, all slots full / alone"
            yield _at_least(what, Spread.of(ratios), 0.9)
