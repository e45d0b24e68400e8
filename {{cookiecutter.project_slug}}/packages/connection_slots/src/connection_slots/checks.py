"""System checks for what would let connections grow without bound.

`manage.py check` runs them, gunicorn refuses to start on their errors, and
`manage.py check --database default` asks the server for its side of the budget.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import connections
from django.db.utils import Error as DatabaseError
from gunicorn.app.base import Application
from gunicorn.config import KNOWN_SETTINGS, Config

from connection_slots import slots
from connection_slots.backend.pooler import TRANSACTION, is_pooled
from connection_slots.budget import Budget, Server

# gunicorn's hooks without which slots are not installed or not given up at the end of a request.
HOOKS = {"asgi": ("post_worker_init",)}
WSGI_HOOKS = ("post_worker_init", "pre_request", "post_request")

# Options that a transaction pooler cannot keep for one client, and what to do instead.
POOLED_OPTIONS = {
    "options": "PgBouncer refuses it as a startup parameter, so set its values with ALTER ROLE",
    "isolation_level": "psycopg2 sets it for the session, so set it for the role",
    "assume_role": "SET ROLE would reach other clients, so connect as that role",
    "prepare_threshold": "PgBouncer before 1.21 has no prepared statements, so remove it",
}

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


@register()
def check_pooler(**kwargs: Any) -> list[CheckMessage]:
    """E009: settings that PgBouncer refuses, or that would reach its other clients."""
    return [Error(problem, id="connection_slots.E009") for problem in _pooler_problems()]


def _pooler_problems() -> Iterator[str]:
    pooler = getattr(settings, "DATABASE_POOLER", "")
    if not pooler:
        return
    if pooler != TRANSACTION:
        yield f'DATABASE_POOLER is {pooler!r}: write "{TRANSACTION}", or nothing.'
        return
    pooled = [alias for alias in connections if is_pooled(connections.settings[alias])]
    if not pooled:
        yield (
            "DATABASE_POOLER is set, and no database has DISABLE_SERVER_SIDE_CURSORS: set it to "
            "True for those that are reached through the pooler."
        )
    if getattr(settings, "DATABASE_DISCARD_ALL", False):
        yield (
            "DATABASE_DISCARD_ALL resets a session that the pooler shares with other clients: "
            "remove it. PgBouncer's server_reset_query_always does the same."
        )
    from django.db.backends.postgresql.psycopg_any import is_psycopg3  # after patches

    options = {**POOLED_OPTIONS}
    if is_psycopg3:
        del options["isolation_level"]  # psycopg sends it with each BEGIN
    for alias in pooled:
        for name, remedy in options.items():
            if connections.settings[alias].get("OPTIONS", {}).get(name) is not None:
                yield f'DATABASES["{alias}"]["OPTIONS"] has {name!r} behind a pooler: {remedy}.'


@register(Tags.database)
def check_pooled_role(databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """W010: a role without statement_timeout, which no startup parameter can set any more."""
    found: list[CheckMessage] = []
    for alias in databases or ():
        connection = connections[alias]
        if connection.vendor != "postgresql" or not is_pooled(connection.settings_dict):
            continue
        try:
            with connection.cursor() as cursor:
                cursor.execute("SHOW statement_timeout")
                (timeout,) = cursor.fetchone()
        except DatabaseError as error:
            found.append(_not_checked(alias, "the role's statement_timeout", error))
            continue
        if timeout == "0":
            problem = f"{alias}: the role has no statement_timeout, so a statement may never end."
            hint = "`manage.py database_budget --sql` prints the ALTER ROLE that sets it."
            found.append(Warning(problem, hint=hint, id="connection_slots.W010"))
    return found


@register(Tags.database)
def check_budget(databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """E006: more connections than the server has. W007: enough, but not during a reload.

    Behind a pooler it is the pooler that bounds them: `manage.py database_budget` knows its size.
    """
    found: list[CheckMessage] = []
    if check_slots():
        return found
    for alias, aliases in servers(databases or ()).items():
        if is_pooled(connections[alias].settings_dict):
            continue
        try:
            budget = budget_of(server_of(alias).usable, len(aliases))
        except DatabaseError as error:
            found.append(_not_checked(alias, "the budget", error))
            continue
        names = ", ".join(aliases)
        if budget.steady > budget.usable:
            hint = (
                "Lower WEB_CONCURRENCY, DATABASE_SLOTS, REPLICAS or "
                "DATABASE_BACKGROUND_CONNECTIONS, or raise max_connections."
            )
            found.append(Error(f"{names}: {budget}.", hint=hint, id="connection_slots.E006"))
        elif budget.replacing > budget.usable:
            problem = f"{names}: {budget}, but {budget.replacing} while workers are replaced."
            hint = "Reload or deploy in smaller steps, or leave room for twice the workers."
            found.append(Warning(problem, hint=hint, id="connection_slots.W007"))
    return found


def _not_checked(alias: str, what: str, error: DatabaseError) -> Warning:
    """Return W008: the server could not be asked."""
    problem = f"{alias}: {what} was not checked: {error}".strip()
    return Warning(problem, id="connection_slots.W008")


def server_of(alias: str) -> Server:
    """Return the limits of the server of `alias`, from the server. Raises django.db.Error."""
    with connections[alias].cursor() as cursor:
        cursor.execute(
            "SELECT sum(setting::int) FILTER (WHERE name = 'max_connections'),"
            " sum(setting::int) FILTER (WHERE name <> 'max_connections')"
            " FROM pg_settings WHERE name IN"
            " ('max_connections', 'superuser_reserved_connections', 'reserved_connections')"
        )
        most, reserved = cursor.fetchone()
    return Server(int(most), int(reserved))


def budget_of(usable: int, aliases: int = 1) -> Budget:
    """Return the budget that the settings and gunicorn's configuration make."""
    return Budget(
        workers=effective_config().workers,
        slots=settings.DATABASE_SLOTS,
        aliases=aliases,
        replicas=getattr(settings, "REPLICAS", 1),
        usable=usable,
        background=getattr(settings, "DATABASE_BACKGROUND_CONNECTIONS", 0),
    )


def servers(asked: Iterable[str]) -> dict[str, list[str]]:
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
