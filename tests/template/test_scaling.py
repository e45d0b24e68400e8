"""docs/scaling.md has the figures that the budget gives."""

import math
from pathlib import Path

from baking.combinations import DEFAULT, ROOT
from connection_slots.budget import Budget, Pooler, Server
from tests.template.conftest import Install

PAGE = (ROOT / "docs" / "scaling.md").read_text()

WORKERS, THREADS, SLOTS = 2, 20, 5
USABLE = Server(500, reserved=3).usable
POOL_SIZE, MAX_CLIENTS = 20, 1000


def plan(replicas: int, slots: int = SLOTS, pooler: Pooler | None = None) -> Budget:
    """Return the budget of the page's example."""
    return Budget(WORKERS, slots, 1, replicas, USABLE, replaced=lambda _: 2, pooler=pooler)


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


def test_command_says_what_the_page_shows(install: Install, tmp_path: Path) -> None:
    project = install(DEFAULT)
    environment = {
        "DATABASE_URL": "postgresql://user:password@localhost:1/unused",
        "DEBUG": "true",
        "SECRET_KEY": "for-tests-only",
    }
    manifests = ("--manifests", "deploy/kubernetes/base")
    command = ("uv", "run", "python", "manage.py", "database_budget", *manifests)
    assert project.run(*command, **environment).stdout in PAGE
    small = tmp_path / "database.toml"
    small.write_text("[server]\nmax_connections = 60\n")
    refused = project.attempt(*command, "--declared", str(small), **environment)
    assert refused.returncode == 1
    assert refused.stderr in PAGE
