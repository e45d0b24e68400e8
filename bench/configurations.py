"""The configurations that are measured: the generated service, and peers as their documents say."""

from dataclasses import dataclass, field
from typing import Any

from baking.combinations import Combination

WORKERS = 2
SLOTS = 10  # for each worker; the pools have the same size
MANY_THREADS = 50  # for each gthread worker: as many as keep 100 clients from waiting for a thread
AGE = 600  # seconds: so that the age of a connection, one minute by default, ends in no short run
DJANGO = "6.1"
# What each server adds to the project's environment.
SERVERS: dict[str, tuple[str, ...]] = {
    "gunicorn": (),
    "uvicorn": ("uvicorn[standard]",),
    "Granian, ASGI": ("granian",),
    "Granian, WSGI": ("granian",),
}
POSTGRESQL = "django.db.backends.postgresql"


@dataclass(frozen=True)
class Configuration:
    """One way to serve the same views."""

    name: str
    project: Combination  # whose directory and virtual environment it uses
    database: dict[str, Any] | None = None  # a peer's connections; None: the generated service
    bound: int | None = None  # connections that it may open, if it has a bound
    server: str = "gunicorn"
    requirements: tuple[str, ...] = ()  # that a peer adds to the project's environment
    environment: dict[str, str] = field(default_factory=dict)
    pgbouncer: bool = False
    few_loads: bool = False  # measured under the loads that show how connections pile up, only
    crowds: bool = False  # measured with 16 and 400 clients, too

    @property
    def group(self) -> str:
        """Return the worker class: the configurations of one are measured side by side."""
        return self.project.worker_class

    @property
    def is_service(self) -> bool:
        """Return True for the generated service, False for a peer."""
        return self.database is None

    @property
    def gateway(self) -> str:
        """Return "asgi" or "wsgi"."""
        return "asgi" if self.group == "asgi" else "wsgi"


def service(
    worker_class: str, driver: str = "psycopg2", *, threads: int = 0, **others: Any
) -> Configuration:
    """Return the generated service, with an own number of threads for each worker if given."""
    slots = 1 if worker_class == "sync" else SLOTS
    name = f"{worker_class}: slots, {driver}"
    return Configuration(
        name=f"{name}, {threads} threads" if threads else name,
        project=Combination(worker_class, driver, DJANGO, "web"),
        bound=WORKERS * slots,
        environment={
            "CONN_MAX_AGE": str(AGE),
            "DATABASE_SLOTS": str(slots),
            "THREADS": str(threads or SLOTS),
        },
        **others,
    )


def peer(
    worker_class: str,
    label: str,
    database: dict[str, Any],
    *,
    driver: str = "psycopg2",
    server: str = "gunicorn",
    threads: int = SLOTS,
    **others: Any,
) -> Configuration:
    """Return the same project with Django's or a peer's connections in place of the slots."""
    return Configuration(
        name=f"{worker_class if server == 'gunicorn' else server}: {label}",
        project=Combination(worker_class, driver, DJANGO, "web"),
        database={"ENGINE": POSTGRESQL, **database},
        server=server,
        environment={"THREADS": str(threads)},
        **others,
    )


def django(worker_class: str, age: int, *, checks: bool = True, **others: Any) -> Configuration:
    """Return Django's own connections. Django's documentation, "Persistent connections"."""
    return peer(
        worker_class,
        f"CONN_MAX_AGE={age}" + ("" if checks else ", no health check"),
        {"CONN_MAX_AGE": age, "CONN_HEALTH_CHECKS": checks and age > 0},
        **others,
    )


def pool(
    worker_class: str, server: str = "gunicorn", threads: int = SLOTS, **others: Any
) -> Configuration:
    """Return Django's pool. Django's documentation, "Connection pool"."""
    size = {"min_size": SLOTS, "max_size": SLOTS}
    return peer(
        worker_class,
        "Django's pool" + (f", {threads} threads" if threads != SLOTS else ""),
        {"CONN_MAX_AGE": 0, "CONN_HEALTH_CHECKS": True, "OPTIONS": {"pool": size}},
        requirements=("psycopg-pool", *SERVERS[server]),
        driver="psycopg",
        server=server,
        threads=threads,
        bound=WORKERS * SLOTS,
        **others,
    )


def through_pgbouncer(worker_class: str) -> Configuration:
    """Return PgBouncer in transaction mode. Django's documentation, "Transaction pooling"."""
    return peer(
        worker_class,
        "PgBouncer",
        {"CONN_MAX_AGE": 0, "DISABLE_SERVER_SIDE_CURSORS": True},
        bound=WORKERS * SLOTS,
        pgbouncer=True,
    )


GEVENTPOOL = peer(  # github.com/jneight/django-db-geventpool, README
    "gevent",
    "django-db-geventpool",
    {
        "ENGINE": "django_db_geventpool.backends.postgresql_psycopg2",
        "ATOMIC_REQUESTS": False,
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {"MAX_CONNS": SLOTS, "REUSE_CONNS": SLOTS},
    },
    requirements=("django-db-geventpool",),
    bound=WORKERS * SLOTS,
)
SQLALCHEMY = peer(  # github.com/altairbow/django-db-connection-pool, README
    "gevent",
    "SQLAlchemy's pool",
    {
        "ENGINE": "dj_db_conn_pool.backends.postgresql",
        "POOL_OPTIONS": {"POOL_SIZE": SLOTS, "MAX_OVERFLOW": 0, "PRE_PING": True},
    },
    requirements=("django-db-connection-pool[psycopg2]",),
    bound=WORKERS * SLOTS,
)
CONFIGURATIONS = [
    service("gevent", crowds=True),
    service("gevent", "psycopg", few_loads=True),
    pool("gevent", crowds=True),
    GEVENTPOOL,
    SQLALCHEMY,
    through_pgbouncer("gevent"),
    django("gevent", 60, few_loads=True),
    django("gevent", 0, few_loads=True),
    service("asgi", crowds=True),
    service("asgi", "psycopg", few_loads=True),
    pool("asgi", crowds=True),
    through_pgbouncer("asgi"),
    django("asgi", 60, few_loads=True),
    django("asgi", 0, few_loads=True),
    pool("asgi", "uvicorn"),
    django("asgi", 60, server="uvicorn", requirements=SERVERS["uvicorn"], few_loads=True),
    pool("asgi", "Granian, ASGI"),
    service("eventlet", few_loads=True),
    django("eventlet", 60, few_loads=True),
    django("eventlet", 0, few_loads=True),
    service("gthread", threads=MANY_THREADS, few_loads=True),
    service("gthread", threads=SLOTS),
    django("gthread", AGE, checks=False, bound=WORKERS * SLOTS),
    django("gthread", 0, few_loads=True),
    pool("gthread", threads=MANY_THREADS, few_loads=True),
    pool("gthread", "Granian, WSGI", MANY_THREADS, few_loads=True),
    service("sync"),
    django("sync", AGE, checks=False, bound=WORKERS),
    django("sync", 0, few_loads=True),
]
