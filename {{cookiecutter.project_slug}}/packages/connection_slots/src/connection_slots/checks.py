"""System checks for what would let connections grow without bound.

`manage.py check` runs them, gunicorn refuses to start on their errors, and
`manage.py check --database default` asks the server for its side of the budget.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import connections
from django.db.utils import Error as DatabaseError
from gunicorn.app.base import Application
from gunicorn.config import KNOWN_SETTINGS, Config

from connection_slots import slots
from connection_slots.budget import Budget

# gunicorn's hooks without which slots are not installed or not given up at the end of a request.
HOOKS = {"asgi": ("post_worker_init",)}
WSGI_HOOKS = ("post_worker_init", "pre_request", "post_request")

# Host names that mean the same server.
LOOPBACK = ("localhost", "127.0.0.1", "::1")


@register()
def check_engine(**kwargs: Any) -> list[CheckMessage]:
    """E001: a PostgreSQL database whose connections are not bounded."""
    return [Error(problem, id="connection_slots.E001") for problem in slots.engine_problems()]


@register()
def check_pool(**kwargs: Any) -> list[CheckMessage]:
    """E002: Django's pool beside slots, which keep and bound the connections already."""
    return [Error(problem, id="connection_slots.E002") for problem in slots.pool_problems()]


@register()
def check_slots(**kwargs: Any) -> list[CheckMessage]:
    """E003: no slots, or more than one for the sync worker."""
    count = getattr(settings, "DATABASE_SLOTS", None)
    if not isinstance(count, int) or count < 1:
        problem = "DATABASE_SLOTS has to be a number of connections per worker, 1 or more."
    elif _declared_class() == "sync" and count != 1:
        problem = "A sync worker serves one request at a time: DATABASE_SLOTS has to be 1."
    else:
        return []
    return [Error(problem, id="connection_slots.E003")]


@register()
def check_worker_class(**kwargs: Any) -> list[CheckMessage]:
    """E004: gunicorn would start another worker class than the settings fit, or preload."""
    config = effective_config()
    declared, effective = _declared_class(), config.worker_class_str
    found: list[CheckMessage] = []
    if effective != declared:
        found.append(
            Error(
                f"The settings fit the {declared} worker class (GUNICORN_WORKER_CLASS), "
                f"and gunicorn would start {effective}.",
                hint="Remove -k, --worker-class and --threads from the command line and from "
                "GUNICORN_CMD_ARGS, or change both settings.py and gunicorn.conf.py.",
                id="connection_slots.E004",
            )
        )
    if config.preload_app:
        found.append(
            Error(
                "preload_app loads the application before the fork, and a connection that is "
                "opened there would be shared by all workers.",
                hint="Remove --preload, or preload_app from gunicorn.conf.py.",
                id="connection_slots.E004",
            )
        )
    return found


@register()
def check_hooks(**kwargs: Any) -> list[CheckMessage]:
    """E005: gunicorn.conf.py does not call the hooks of connection_slots.gunicorn."""
    config = effective_config()
    defaults = {setting.name: setting.default for setting in KNOWN_SETTINGS}
    missing = [
        name
        for name in HOOKS.get(_declared_class(), WSGI_HOOKS)
        if getattr(config, name) is defaults[name]
    ]
    if not missing:
        return []
    return [
        Error(
            f"gunicorn.conf.py has no {' and no '.join(missing)}: slots would not be "
            "installed, or not given up at the end of a request.",
            hint=f"from connection_slots.gunicorn import {', '.join(missing)}",
            id="connection_slots.E005",
        )
    ]


@register(Tags.database)
def check_budget(databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """E006: more connections than the server has. W007: enough, but not during a reload."""
    found: list[CheckMessage] = []
    if check_slots():
        return found
    for alias, aliases in _servers(databases or ()).items():
        try:
            budget = budget_of(alias, len(aliases))
        except DatabaseError as error:
            problem = f"{alias}: the budget was not checked: {error}".strip()
            found.append(Warning(problem, id="connection_slots.W008"))
            continue
        names = ", ".join(aliases)
        if budget.steady > budget.usable:
            hint = (
                "Lower WEB_CONCURRENCY, DATABASE_SLOTS, REPLICAS or "
                "DATABASE_BACKGROUND_CONNECTIONS, or raise max_connections."
            )
            found.append(Error(f"{names}: {budget}.", hint=hint, id="connection_slots.E006"))
        elif budget.reloading > budget.usable:
            problem = f"{names}: {budget}, but {budget.reloading} while workers are replaced."
            hint = "Reload or deploy in smaller steps, or leave room for twice the workers."
            found.append(Warning(problem, hint=hint, id="connection_slots.W007"))
    return found


def budget_of(alias: str, aliases: int = 1) -> Budget:
    """Return the budget of the server of `alias`. Raises django.db.Error."""
    with connections[alias].cursor() as cursor:
        cursor.execute(
            "SELECT sum(CASE name WHEN 'max_connections' THEN setting::int ELSE -setting::int END)"
            " FROM pg_settings WHERE name IN"
            " ('max_connections', 'superuser_reserved_connections', 'reserved_connections')"
        )
        (usable,) = cursor.fetchone()
    return Budget(
        workers=effective_config().workers,
        slots=settings.DATABASE_SLOTS,
        aliases=aliases,
        replicas=getattr(settings, "REPLICAS", 1),
        usable=usable,
        background=getattr(settings, "DATABASE_BACKGROUND_CONNECTIONS", 0),
    )


def _servers(asked: Iterable[str]) -> dict[str, list[str]]:
    """Return all aliases of each server, under the first one that was asked for."""
    by_server: dict[tuple[str, str], list[str]] = {}
    for alias in connections:
        database = connections[alias].settings_dict
        host = "localhost" if database["HOST"] in LOOPBACK else database["HOST"]
        if connections[alias].vendor == "postgresql":
            by_server.setdefault((host, str(database["PORT"] or 5432)), []).append(alias)
    chosen = {}
    for aliases in by_server.values():
        first = next((alias for alias in asked if alias in aliases), None)
        if first is not None:
            chosen[first] = aliases
    return chosen


def _declared_class() -> str:
    return str(getattr(settings, "GUNICORN_WORKER_CLASS", "not named"))


def effective_config() -> Config:
    """Return gunicorn's configuration: gunicorn.conf.py, then GUNICORN_CMD_ARGS."""
    return _EffectiveConfig().cfg


class _EffectiveConfig(Application):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's own loader, without the command line of this process."""

    def init(self, parser: Any, opts: Any, args: Any) -> None:
        """Take nothing from the command line."""

    def load_config(self) -> None:
        """Load the file that --config names, or the project's gunicorn.conf.py."""
        given = self.cfg.parser().parse_args(self.cfg.get_cmd_args_from_env())
        default = Path(settings.BASE_DIR) / "gunicorn.conf.py"
        if given.config:
            self.load_config_from_module_name_or_filename(given.config)
        elif default.exists():
            self.load_config_from_file(str(default))
        for name, value in vars(given).items():
            if value is not None and name != "args":
                self.cfg.set(name.lower(), value)
