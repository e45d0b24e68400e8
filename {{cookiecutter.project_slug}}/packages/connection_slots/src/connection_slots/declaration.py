"""Read what a server allows and what others use of it, from deploy/database.toml.

[server]            # without it, the server is asked
max_connections = 200
reserved = 3        # superuser_reserved_connections and reserved_connections

[services]          # what others may open, by any name
billing = 40

[pgbouncer]         # where no Kubernetes manifest describes it
instances = 2
pool_size = 20      # default_pool_size and reserve_pool_size
max_clients = 1000  # max_client_conn
"""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings

from connection_slots.budget import Pooler, UnknownBudget

PATH = Path("deploy", "database.toml")  # in BASE_DIR

SERVER = {"max_connections", "reserved"}
PGBOUNCER = {"instances", "pool_size", "max_clients"}


@dataclass(frozen=True)
class Declaration:
    """The content of the file."""

    server: dict[str, int] = field(default_factory=dict)
    services: dict[str, int] = field(default_factory=dict)
    pooler: Pooler | None = None


def declaration(given: str | None) -> Declaration:
    """Return the content of the file `given`, or of PATH if it exists. Raises UnknownBudget."""
    path = Path(given) if given else Path(settings.BASE_DIR) / PATH
    if not given and not path.exists():
        return Declaration()
    try:
        content = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:  # ValueError: not TOML, or not UTF-8
        raise UnknownBudget(f"{path} cannot be read: {error}") from error
    if problem := _problem(content):
        raise UnknownBudget(f"{path}: {problem}")
    pgbouncer = content.get("pgbouncer")
    return Declaration(
        server=content.get("server", {}),
        services=content.get("services", {}),
        pooler=Pooler(**pgbouncer) if pgbouncer else None,
    )


def _problem(content: dict[str, Any]) -> str | None:
    """Return what is wrong with the file, or None."""
    for name, section in content.items():
        if name not in ("server", "services", "pgbouncer"):
            return f"unknown section {name}"
        if not isinstance(section, dict):
            return f"{name} is not a section"
        for key, number in section.items():
            if type(number) is not int or number < (name == "pgbouncer"):
                return f"{key} = {number!r} is no number of connections"
    if unknown := content.get("server", {}).keys() - SERVER:
        return f"[server] has an unknown {', '.join(sorted(unknown))}"
    pgbouncer = content.get("pgbouncer", PGBOUNCER)
    if set(pgbouncer) != PGBOUNCER:
        return f"[pgbouncer] needs {', '.join(sorted(PGBOUNCER))}, and nothing else"
    return None
