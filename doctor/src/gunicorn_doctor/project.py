"""What the doctor knows of a project: its deployments, databases and requirements."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from gunicorn_doctor import gunicorn
from gunicorn_doctor.requirements import Requirements
from gunicorn_doctor.values import Location, Table, Value, unknown

GIVEN = "given"  # the reason for a settings module that was asked for
POSTGRESQL = ("postgresql", "postgis", "psycopg", "connection_slots.backend", "geventpool")


@dataclass
class Database:
    """One entry of DATABASES, or one alternative of it."""

    alias: str
    table: Table
    where: Location

    def get(self, key: str, default: object = None) -> Value:
        """Return an item; a missing one is the default, which varies if there may be more keys."""
        return self.table.get(key) or Value(default, self.where, varies=self.table.open)

    @cached_property
    def options(self) -> Table:
        """Return OPTIONS, open if it is not wholly known."""
        value = self.get("OPTIONS")
        table = next(value.tables(), None)
        return Table(open=not value.known) if table is None else table

    def option(self, key: str) -> Value:
        """Return an item of OPTIONS; a missing one is None."""
        return self.options.get(key) or Value(None, self.where, varies=self.options.open)

    @property
    def engine(self) -> str:
        """Return ENGINE, empty if it is not understood."""
        return self.get("ENGINE").string()

    @property
    def postgresql(self) -> bool:
        """Return True if the server is PostgreSQL."""
        return any(word in self.engine for word in POSTGRESQL)

    @property
    def bounded(self) -> bool:
        """Return True if the backend itself bounds its connections, whatever the worker class."""
        return self.engine == "connection_slots.backend" or "geventpool" in self.engine

    @property
    def local(self) -> bool:
        """Return True if the server is certainly on the same host."""
        host = self.get("HOST", "")
        local = {"", "None", "localhost", "127.0.0.1", "::1"}
        return host.certain and (str(host.data) in local or str(host.data).startswith("/"))

    @property
    def age(self) -> Value:
        """Return CONN_MAX_AGE."""
        return self.get("CONN_MAX_AGE", 0)

    @property
    def pools(self) -> list[Value]:
        """Return the alternatives of Django's own pool that turn it on."""
        return [value for value in self.option("pool").options() if value.data]

    def pool_size(self, key: str) -> int | None:
        """Return min_size or max_size of the pool, with the defaults of psycopg_pool."""
        if not self.pools:
            return None
        table = next(self.pools[0].tables(), Table())
        size = table.get(key) or (table.get("min_size") if key == "max_size" else None)
        return 4 if size is None else size.integer()


@dataclass
class Deployment:
    """One way in which the project is served, with the settings that hold there."""

    program: str  # gunicorn, uvicorn, daphne, hypercorn; empty if no start command was found
    settings: dict[str, Value]
    databases: list[Database]
    names: dict[str, Value]  # all settings of Django
    where: Location
    replicas: int = 1
    unwritable: str = ""
    configuration: Path | None = None  # gunicorn's configuration file
    command: dict[str, Value] = field(default_factory=dict)  # what the command line sets

    def setting(self, name: str) -> Value:
        """Return a setting of gunicorn, or its default."""
        return self.settings.get(name) or Value(gunicorn.DEFAULTS[name], self.where)

    @property
    def workers(self) -> Value:
        """Return the number of worker processes; daphne has one."""
        return Value(1, self.where) if self.program == "daphne" else self.setting("workers")

    @property
    def family(self) -> str:
        """Return sync, gthread, gevent, eventlet or asgi; empty if it is not known."""
        if self.program != "gunicorn":
            return "asgi" if self.program else ""
        threads = self.setting("threads").integer()
        return gunicorn.family(self.setting("worker_class").string(), threads)

    @property
    def server(self) -> str:
        """Return how messages name the server."""
        worker = f" ({self.setting('worker_class').string()})" if self.program == "gunicorn" else ""
        return f"{self.program}{worker} of {self.where}"

    def connections(self, database: Database) -> Value:
        """Return how many connections one worker opens at most to a database, if that is known."""
        family = self.family
        if database.engine == "connection_slots.backend":
            slots = self.names.get("DATABASE_SLOTS") or unknown("DATABASE_SLOTS")
            return Value(1, self.where) if family == "sync" else slots
        if "geventpool" in database.engine:
            return database.option("MAX_CONNS") if "MAX_CONNS" in database.options else Value(4)
        if database.pools:
            return Value(database.pool_size("max_size"), self.where)
        if family == "sync":
            return Value(1, self.where)
        if family == "gthread":
            return self.setting("threads")
        if family in {"gevent", "eventlet"}:
            return self.setting("worker_connections")
        return unknown("the number of connections", self.where)


@dataclass(frozen=True)
class Server:
    """What a database server said (`--database`). Numbers are connections."""

    max_connections: int
    reserved: int
    role_limit: int | None
    database_limit: int | None
    used_by_others: int


@dataclass
class Project:
    """All that rules may ask."""

    root: Path
    home: Path  # the directory of manage.py
    settings_module: str
    settings_file: Path | None
    settings_reason: str
    deployments: list[Deployment] = field(default_factory=list)
    requirements: Requirements = field(default_factory=Requirements)
    pooler: Location | None = None
    max_connections: tuple[int, Location] | None = None
    servers: dict[str, Server] = field(default_factory=dict)  # by alias, with --database only
    texts: dict[Path, str] = field(default_factory=dict)  # sources that may patch the driver
    problems: list[tuple[Location, str]] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)  # what rules could not judge, and why

    def location(self, path: Path, line: int = 1) -> Location:
        """Return a location in a file of the project."""
        return Location(path.relative_to(self.root).as_posix(), line)

    def pairs(self) -> list[tuple[Deployment, Database]]:
        """Return each deployment with each of its PostgreSQL databases.

        A database whose URL is in the environment is one, unless the project requires the driver
        of another database.
        """
        return [
            (deployment, database)
            for deployment in self.deployments
            for database in deployment.databases
            if database.postgresql
            and not (database.get("ENGINE").varies and self.requirements.other_database)
        ]
