"""System checks: the conventions that keep connections bounded, as errors with ids.

`manage.py check` runs them, gunicorn refuses to start on their errors (preflight.py), and
`manage.py check --database default` asks the server for its side of the budget.
"""

{% if cookiecutter.__lends %}
import ast
{% endif %}
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import connections
from django.db.utils import Error as DatabaseError
from gunicorn.app.base import Application
from gunicorn.config import Config

from database import WORKER_CLASS
from database.backend.base import ConnectionCareMixin
from database.budget import Budget


@register()
def check_persistence(**kwargs: Any) -> list[CheckMessage]:
{% if cookiecutter.__lends %}
    """E001: CONN_MAX_AGE keeps connections that nothing bounds. E002: it contradicts a pool."""
{% else %}
    """E002: CONN_MAX_AGE contradicts a pool."""
{% endif %}
    found: list[CheckMessage] = []
    for alias, database in connections.settings.items():
        if not database["CONN_MAX_AGE"] and database["CONN_MAX_AGE"] is not None:
            continue
{% if cookiecutter.__lends %}
        if not _lends():
            found.append(
                Error(
                    f"{alias}: CONN_MAX_AGE={database['CONN_MAX_AGE']} under {WORKER_CLASS}, "
                    "and connections are not lent: they would pile up without bound.",
                    hint="Call database.slots.install() in config/{{ cookiecutter.__gateway }}.py, or set CONN_MAX_AGE=0.",
                    id="database.E001",
                )
            )
{% endif %}
        if database["OPTIONS"].get("pool"):
            found.append(
                Error(
                    f"{alias}: OPTIONS['pool'] and CONN_MAX_AGE contradict each other.",
                    hint="Remove the pool: slots keep and bound the connections already.",
                    id="database.E002",
                )
            )
    return found


{% if cookiecutter.__lends %}
def _lends() -> bool:
    """Read, not imported: a command that checks must not begin to lend."""
    source = (settings.BASE_DIR / "config" / "{{ cookiecutter.__gateway }}.py").read_text()
    calls = [node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return any(ast.unparse(call) == "slots.install" for call in calls)


{% endif %}
@register()
def check_engine(**kwargs: Any) -> list[CheckMessage]:
    """E003: the engine lacks the health check and the deadlines of database.backend."""
    return [
        Error(
            f"{connection.alias}: the engine {connection.settings_dict['ENGINE']} checks no health "
            "without a round trip, and its connects may hang.",
            hint="Set ENGINE to database.backend, or put ConnectionCareMixin before the "
            "DatabaseWrapper of your own engine.",
            id="database.E003",
        )
        for connection in connections.all()
        if not isinstance(connection, ConnectionCareMixin)
    ]


@register()
def check_worker_class(**kwargs: Any) -> list[CheckMessage]:
    """E004: gunicorn would start another worker class than the connections are wired for."""
    effective = effective_config().worker_class_str
    if effective == WORKER_CLASS:
        return []
    return [
        Error(
            f"This project is wired for the {WORKER_CLASS} worker class, "
            f"and gunicorn would start {effective}.",
            hint="Correct gunicorn.conf.py and GUNICORN_CMD_ARGS, or generate the project anew "
            f"for worker_class={effective}.",
            id="database.E004",
        )
    ]


@register(Tags.database)
def check_budget(databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """E005: more connections than the server has. W006: enough, but not during a reload."""
    found: list[CheckMessage] = []
    for alias in databases or ():
        try:
            budget = budget_of(alias)
        except DatabaseError as error:
            found.append(
                Warning(f"{alias}: the budget was not checked: {error}".strip(), id="database.W007")
            )
            continue
        if budget.steady > budget.usable:
            found.append(
                Error(
                    f"{alias}: {budget}.",
                    hint="Lower WEB_CONCURRENCY, DATABASE_SLOTS or REPLICAS, "
                    "or raise max_connections.",
                    id="database.E005",
                )
            )
        elif budget.reloading > budget.usable:
            found.append(
                Warning(
                    f"{alias}: {budget}, but {budget.reloading} while workers are replaced.",
                    hint="Reload or deploy in smaller steps, or leave room for twice the workers.",
                    id="database.W006",
                )
            )
    return found


def budget_of(alias: str) -> Budget:
    """The budget of `alias`, with what its server allows. Raises django.db.Error."""
    with connections[alias].cursor() as cursor:
        cursor.execute(
            "SELECT sum(CASE name WHEN 'max_connections' THEN setting::int ELSE -setting::int END)"
            " FROM pg_settings WHERE name IN"
            " ('max_connections', 'superuser_reserved_connections', 'reserved_connections')"
        )
        (usable,) = cursor.fetchone()
    return Budget(effective_config().workers, settings.DATABASE_SLOTS, settings.REPLICAS, usable)


def effective_config() -> Config:
    """gunicorn's configuration as it would be: gunicorn.conf.py, then GUNICORN_CMD_ARGS."""
    return _Effective().cfg


class _Effective(Application):
    """gunicorn's own loader, less the command line of this process."""

    def init(self, parser: Any, opts: Any, args: Any) -> None:
        """Nothing comes from the command line."""

    def load_config(self) -> None:
        self.load_config_from_file(str(settings.BASE_DIR / "gunicorn.conf.py"))
        given = self.cfg.parser().parse_args(self.cfg.get_cmd_args_from_env())
        for name, value in vars(given).items():
            if value is not None and name != "args":
                self.cfg.set(name.lower(), value)
