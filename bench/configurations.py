"""The configurations that are measured, as configurations.toml lists them."""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from baking.combinations import Combination

LISTED = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())
WORKERS: int = LISTED["workers"]
SLOTS: int = LISTED["slots"]  # for each worker
POSTGRESQL = "django.db.backends.postgresql"


@dataclass(frozen=True)
class Configuration:
    """One way to serve the same views."""

    name: str
    project: Combination  # whose directory and virtual environment it uses
    command: str  # starts the server
    bound: int | None  # connections that it may open, if it has a bound
    database: dict[str, Any] | None = None  # a peer's settings; None is the generated service
    requirements: tuple[str, ...] = ()  # that a peer adds to the project's environment
    environment: dict[str, str] = field(default_factory=dict)
    pgbouncer: bool = False
    loads: str = "all"  # or "few", or "crowds"

    @property
    def group(self) -> str:
        """Return the worker class: the configurations of one are measured side by side."""
        return self.project.worker_class

    @property
    def gateway(self) -> str:
        """Return "asgi" or "wsgi"."""
        return "asgi" if self.group == "asgi" else "wsgi"


def configuration(
    worker_class: str,
    connections: str,
    *,
    server: str = "gunicorn",
    threads: int = 0,
    loads: str = "all",
) -> Configuration:
    """Return a configuration of the named connections and server."""
    kept, serves = LISTED["connections"][connections], LISTED["servers"][server]
    if "like" in kept:
        kept = LISTED["connections"][kept["like"]] | kept
    name = f"{worker_class if server == 'gunicorn' else server}: {connections}"
    slots = 1 if worker_class == "sync" else SLOTS
    database = kept.get("database")
    return Configuration(
        name=f"{name}, {threads} threads" if threads else name,
        project=Combination(worker_class, kept.get("driver", "psycopg2"), LISTED["django"], "web"),
        command=serves["peer" if database else "service"],
        bound=WORKERS * slots if kept.get("bounded", True) else None,
        database={"ENGINE": POSTGRESQL, **database} if database else None,
        requirements=(*kept.get("requirements", ()), *serves.get("requirements", ())),
        environment={
            "DATABASE_SLOTS": str(slots),
            "THREADS": str(threads or SLOTS),
            **kept.get("environment", {}),
        },
        pgbouncer=kept.get("pgbouncer", False),
        loads=loads,
    )


CONFIGURATIONS = [configuration(**each) for each in LISTED["configurations"]]
