"""Compare the connections that this service may open with those that PostgreSQL allows."""

import json
import re
from argparse import ArgumentParser
from dataclasses import replace
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.utils import Error as DatabaseError

from connection_slots import checks
from connection_slots.backend.pooler import is_pooled
from connection_slots.budget import Budget, Server, UnknownBudget
from connection_slots.declaration import PATH, Declaration, declaration
from connection_slots.manifests import Plan, read

SETS_WORKERS = re.compile(r"(^|\s)(-w|--workers\b)")
UNKNOWN = 2  # the exit code if there is no answer; 1 is a plan that does not fit

# Timeouts that a role has to have behind a pooler, which takes no startup parameters.
STATEMENT_TIMEOUT = 15  # seconds
ROLE_TIMEOUTS = {
    "idle_in_transaction_session_timeout": "30s",
    "client_connection_check_interval": "2s",
}


class Command(BaseCommand):
    """Print the budget, and exit with 1 if it does not fit, with 2 if that is not known."""

    help = (
        "Compare the connections that this service may open with those that PostgreSQL allows. "
        "Exits with 1 if they do not fit, with 2 if that cannot be told."
    )
    requires_system_checks: list[str] = []  # noqa: RUF012 - Django's own declaration

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        parser.add_argument("--database", default=DEFAULT_DB_ALIAS, help="Alias of the server.")
        parser.add_argument(
            "--manifests",
            metavar="PATH",
            help="Kubernetes manifests: a file, a directory, or - for standard input, as in "
            "`kubectl kustomize OVERLAY | manage.py database_budget --manifests -`. Without it, "
            "REPLICAS says how many replicas there are.",
        )
        parser.add_argument(
            "--declared",
            metavar="FILE",
            help=f"What the server allows and what others use, as TOML (default: {PATH}).",
        )
        parser.add_argument("--json", action="store_true", help="Print JSON.")
        parser.add_argument(
            "--sql",
            action="store_true",
            help="Print the SQL by which PostgreSQL enforces the budget.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the budget."""
        alias = options["database"]
        if alias not in connections:
            raise CommandError(f"There is no database {alias!r}.", returncode=UNKNOWN)
        if connections[alias].vendor != "postgresql":
            raise CommandError(f"{alias!r} is no PostgreSQL database.", returncode=UNKNOWN)
        try:
            declared = declaration(options["declared"])
            plan = read(options["manifests"]) if options["manifests"] else None
            server = _server(alias, declared)
            budget = _budget(alias, server, plan, declared)
        except UnknownBudget as error:
            raise CommandError(str(error), returncode=UNKNOWN) from error
        if options["json"]:
            self.stdout.write(json.dumps(_as_dict(server, budget), indent=2))
        elif options["sql"]:
            self.stdout.write("\n".join(_sql(alias, budget)))
        else:
            self.stdout.write(_table(server, budget))
        if not budget.fits:
            raise CommandError(_advice(budget))


def _server(alias: str, declared: Declaration) -> Server:
    """Return what is declared, or ask the server."""
    limits = declared.server
    if "max_connections" in limits:
        return Server(**limits, others=declared.services)
    try:
        return replace(checks.server_of(alias), **limits, others=declared.services)
    except DatabaseError as error:
        raise UnknownBudget(
            f"The server could not be asked: {error}. Without it, write "
            f"max_connections into [server] of {PATH}."
        ) from error


def _budget(alias: str, server: Server, plan: Plan | None, declared: Declaration) -> Budget:
    aliases = len(checks.servers([alias])[alias])
    budget = checks.budget_of(server.usable, aliases)
    pooler = declared.pooler
    pooled = is_pooled(connections.settings[alias])
    if plan is not None:
        environment = plan.environment
        arguments = environment.get("GUNICORN_CMD_ARGS", "")
        for place, text in (("GUNICORN_CMD_ARGS", arguments), ("the command", plan.command)):
            if SETS_WORKERS.search(text):
                raise UnknownBudget(f"{place} sets the workers: use WEB_CONCURRENCY for it")
        budget = replace(
            budget,
            workers=_number(environment, "WEB_CONCURRENCY", budget.workers),
            slots=_number(environment, "DATABASE_SLOTS", budget.slots),
            replicas=plan.replicas,
            replaced=plan.replaced,
            background=budget.background + plan.background,
        )
        pooler = plan.pooler or pooler
        pooled = _is_pooled(alias, environment)
    if pooled and pooler is None:
        raise UnknownBudget(
            "The service uses a pooler, and its size is not known: give --manifests, or write "
            f"instances, pool_size and max_clients into [pgbouncer] of {PATH}"
        )
    return replace(budget, pooler=pooler if pooled else None)


def _is_pooled(alias: str, environment: dict[str, str]) -> bool:
    """Return True if the pods reach the database of `alias` through a pooler."""
    if not environment.get("DATABASE_POOLER"):
        return False
    if getattr(settings, "DATABASE_POOLER", ""):
        return is_pooled(connections.settings[alias])
    if len(checks.servers(connections)) > 1:
        raise UnknownBudget(
            "which of the servers is behind the pooler is not known: set DATABASE_POOLER for this "
            "command, too"
        )
    return True


def _number(environment: dict[str, str], name: str, default: int) -> int:
    value = environment.get(name, str(default))
    if not value.isdecimal() or int(value) < 1:
        raise UnknownBudget(f"{name} is {value!r} in the manifests: write a number, 1 or more")
    if settings.GUNICORN_WORKER_CLASS == "sync" and name == "DATABASE_SLOTS":
        return 1
    return int(value)


def _rows(server: Server, budget: Budget) -> list[tuple[str, int, str]]:
    rows = [
        ("replicas", budget.replicas, "the most that run at the same time"),
        ("workers", budget.workers, "of each replica"),
        ("slots", budget.slots, "of each worker"),
    ]
    if budget.aliases > 1:
        rows.append(("aliases", budget.aliases, "in DATABASES, on this server"))
    if budget.background:
        rows.append(("background", budget.background, "connections of other processes"))
    rows.append(("service", budget.clients, "connections that it opens"))
    rows.append(("service, replacing", budget.clients_replacing, "during a reload or a deploy"))
    if pooler := budget.pooler:
        clients = pooler.instances * pooler.max_clients
        rows.append(("pgbouncer", pooler.instances, "instances"))
        rows.append(("pool_size", pooler.pool_size, "connections of each instance and alias"))
        rows.append(("max_client_conn", clients, "clients of all instances"))
        rows.append(("server", budget.steady, "connections to PostgreSQL"))
        rows.append(("server, replacing", budget.replacing, "while PgBouncer is deployed"))
    rows.append(("max_connections", server.max_connections, "of the server"))
    rows.append(("reserved", server.reserved, "for superusers"))
    rows += [("service " + name, count, "declared") for name, count in server.others.items()]
    rows.append(("usable", budget.usable, "for this service"))
    return rows


def _table(server: Server, budget: Budget) -> str:
    rows = _rows(server, budget)
    width = max(len(label) for label, _, _ in rows)
    lines = [f"{label:<{width}} {value:>6}  {note}" for label, value, note in rows]
    if budget.fits:
        most = f"{budget.largest_replicas} replicas or {budget.largest_slots} slots per worker"
        lines.append(f"The plan fits. At most {most} would fit too.")
    return "\n".join(lines)


def _advice(budget: Budget) -> str:
    if budget.pooler is not None and budget.replacing > budget.usable:
        problem = f"PgBouncer may open {budget.replacing} connections"
        return f"The plan does not fit: {problem} of {budget.usable} usable. Lower its pool_size."
    if budget.pooler is None:
        of = f"{budget.usable} usable"
        more = "Or raise max_connections, or use PgBouncer (DATABASE_POOLER=transaction)."
    else:
        of = "those that PgBouncer takes (max_client_conn)"
        more = "Or raise max_client_conn."
    remedies = []
    if budget.largest_replicas:
        remedies.append(f"{budget.largest_replicas} replicas")
    if budget.largest_slots:
        remedies.append(f"{budget.largest_slots} slots per worker")
    fitting = f"At most {' or '.join(remedies)} would fit." if remedies else "Nothing would fit."
    opened = f"{budget.clients_replacing} connections of {of}"
    return f"The plan does not fit: {opened}. {fitting} {more}"


def _sql(alias: str, budget: Budget) -> list[str]:
    """Return statements that make PostgreSQL enforce the budget. Not for superusers."""
    connection = connections[alias]
    role = connection.ops.quote_name(connection.settings_dict["USER"] or "postgres")
    lines = [f"ALTER ROLE {role} CONNECTION LIMIT {budget.replacing};"]
    if is_pooled(connection.settings_dict) or budget.pooler is not None:
        # manage.py itself may have none.
        seconds = getattr(settings, "DATABASE_STATEMENT_TIMEOUT", 0) or STATEMENT_TIMEOUT
        timeouts = {"statement_timeout": f"{seconds}s", **ROLE_TIMEOUTS}
        lines += [f"ALTER ROLE {role} SET {name} = '{value}';" for name, value in timeouts.items()]
    return lines


def _as_dict(server: Server, budget: Budget) -> dict[str, Any]:
    pooler = budget.pooler
    return {
        "fits": budget.fits,
        "replicas": budget.replicas,
        "workers": budget.workers,
        "slots": budget.slots,
        "aliases": budget.aliases,
        "background": budget.background,
        "opened": budget.clients,
        "opened_replacing": budget.clients_replacing,
        "server": budget.steady,
        "server_replacing": budget.replacing,
        "max_connections": server.max_connections,
        "reserved": server.reserved,
        "others": dict(server.others),
        "usable": budget.usable,
        "largest_replicas": budget.largest_replicas,
        "largest_slots": budget.largest_slots,
        "pgbouncer": None
        if pooler is None
        else {
            "instances": pooler.instances,
            "pool_size": pooler.pool_size,
            "max_clients": pooler.max_clients,
        },
    }
