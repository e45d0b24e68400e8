"""docs/scaling.md has the figures that the budget gives."""

import math

from baking.combinations import ROOT
from connection_slots.budget import Budget, Pooler, Server

PAGE = (ROOT / "docs" / "scaling.md").read_text()

WORKERS, THREADS, SLOTS = 2, 20, 5
USABLE = Server(500, reserved=3).usable
POOL_SIZE, MAX_CLIENTS = 20, 1000


def plan(replicas: int, slots: int = SLOTS, pooler: Pooler | None = None) -> Budget:
    """Return the budget of the page's example."""
    return Budget(WORKERS, slots, 1, replicas, USABLE, replaced=2, pooler=pooler)


def poolers(replicas: int, slots: int = SLOTS) -> Pooler:
    """Return as many instances of PgBouncer as take all clients: two or more."""
    instances = max(2, math.ceil(plan(replicas, slots).clients_replacing / MAX_CLIENTS))
    return Pooler(instances, POOL_SIZE, MAX_CLIENTS)


def row(replicas: int) -> str:
    """Return the row of the table."""
    direct = plan(replicas)
    pooled = plan(replicas, pooler=poolers(replicas))
    assert pooled.fits
    instances = "none" if direct.fits else str(poolers(replicas).instances)
    cells = (
        f"{replicas:,}",
        f"{plan(replicas, THREADS).clients:,}",
        f"{direct.clients:,}",
        f"{direct.clients_replacing:,}",
        "fits" if direct.fits else "does not fit",
        instances,
        "" if direct.fits else f"{pooled.steady:,}",
    )
    return f"| {' | '.join(cells)} |"


def test_table_is_what_the_budget_says() -> None:
    for replicas in (10, 100, 1000):
        assert row(replicas) in PAGE


def test_text_is_what_the_budget_says() -> None:
    assert f"**Up to {plan(1).largest_replicas} replicas PostgreSQL is enough.**" in PAGE
    assert f"enough for {plan(1, THREADS).largest_replicas}:" in PAGE
    many, threads = plan(1000), plan(1000, THREADS)
    assert f"{many.clients_replacing:,} clients and {poolers(1000).instances}" in PAGE
    assert f"{threads.clients_replacing:,} and {poolers(1000, THREADS).instances}" in PAGE
