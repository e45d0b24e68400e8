"""A throw-away PostgreSQL for the suite, whose user is a superuser: it creates extensions."""

from pathlib import Path

import psycopg

from devdb import Cluster
from devdb.binaries import reachable
from devdb.initialize import create
from devdb.programs import Programs

NAME = "suite"

# What the migrations of postgres_tests create. PostgreSQL's contrib modules may not be installed.
EXTENSIONS = ("bloom", "btree_gin", "btree_gist", "citext", "hstore", "pg_trgm", "unaccent")


def superusers_cluster(directory: Path) -> Cluster:
    """Return a cluster that is not started yet."""
    directory.mkdir()
    cluster = Cluster(directory, name=NAME, throw_away=True)
    programs = Programs(reachable(cluster.binaries, cluster.account), cluster.account)
    create(directory, NAME, programs)
    programs.run(
        "postgres",
        ["--single", "-c", "exit_on_error=on", "postgres"],
        cluster.data,
        stdin=f"ALTER ROLE {NAME} SUPERUSER\n",
    )
    return cluster


def missing_extensions(url: str) -> list[str]:
    """Return the extensions that postgres_tests needs and this server does not have."""
    with psycopg.connect(url, connect_timeout=5) as connection:
        rows = connection.execute("SELECT name FROM pg_available_extensions").fetchall()
    return sorted(set(EXTENSIONS) - {name for (name,) in rows})
