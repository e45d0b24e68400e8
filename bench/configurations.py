"""What is measured: the generated service, and its peers as their documentation sets them up."""

from dataclasses import dataclass, field, replace
from typing import Any

from baking.combinations import Combination

WORKERS = 2
SLOTS = 10  # per worker; the pools get the same size
BOUND = WORKERS * SLOTS
DJANGO = "6.1"
POSTGRESQL = "django.db.backends.postgresql"
# Seconds that a connection is kept. Not 60: each is measured for a small part of the time only,
# and would pay for a whole minute's ageing in it.
AGE = 600
LONG = 3  # times what others are measured, where a run's start would weigh too much
PGBOUNCER = "{pgbouncer}"  # stands for its port


@dataclass(frozen=True)
class Configuration:
    """One way to serve the same view."""

    name: str
    worker_class: str
    # The generated project: it serves itself, or lends a peer its releases as constraints.
    project: Combination
    # What a peer needs besides; () means that this is the generated project.
    requirements: tuple[str, ...] = ()
    # What a peer's documentation puts into DATABASES["default"].
    database: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    # Connections that it may open, where it has a bound.
    bound: int | None = None
    # How much longer than others it is measured, so that a run's start weighs less.
    times: int = 1

    @property
    def is_service(self) -> bool:
        return not self.requirements

    @property
    def worker(self) -> str:
        """gunicorn's name of the worker class."""
        named = {"uvicorn": "uvicorn_worker.UvicornWorker"}
        return named.get(self.worker_class, self.worker_class)

    @property
    def pgbouncer(self) -> bool:
        """Whether it connects through PgBouncer."""
        return self.database.get("PORT") == PGBOUNCER

    @property
    def gateway(self) -> str:
        return "asgi" if self.worker_class in ("asgi", "uvicorn") else "wsgi"


def service(
    worker_class: str,
    driver: str = "psycopg2",
    slots: int | None = None,
    health_checks: bool = True,
) -> Configuration:
    """The generated project; with `slots` slots per worker where it is not the usual number."""
    name = f"{worker_class}: slots, {driver}"
    name += f", {slots} per worker" if slots else ""
    name += "" if health_checks else ", no health check"
    usual = 1 if worker_class == "sync" else SLOTS
    return Configuration(
        name=name,
        worker_class=worker_class,
        project=Combination(worker_class, driver, DJANGO, "api"),
        environment={
            "WEB_CONCURRENCY": str(WORKERS),
            "DATABASE_SLOTS": str(slots or usual),
            "CONN_MAX_AGE": str(AGE),
            "BENCH_HEALTH_CHECKS": str(health_checks),
        },
        bound=WORKERS * (slots or usual),
    )


def peer(
    worker_class: str, label: str, driver: str, *requirements: str, **others: Any
) -> Configuration:
    """Django as `label` says, on the same releases of everything that the service uses too."""
    base = "asgi" if worker_class == "uvicorn" else worker_class
    gunicorn = {"gevent": "gunicorn[gevent]"}.get(worker_class, "gunicorn")
    drivers = {"psycopg2": "psycopg2-binary", "psycopg": "psycopg[binary,pool]"}
    needs = ["django", gunicorn, drivers[driver], *requirements]
    needs += {"eventlet": ["eventlet"], "uvicorn": ["uvicorn[standard]", "uvicorn-worker"]}.get(
        worker_class, []
    )
    if driver == "psycopg2" and worker_class in ("gevent", "eventlet"):
        needs.append("psycogreen")
    return Configuration(
        name=f"{worker_class}: {label}",
        worker_class=worker_class,
        project=Combination(base, driver, DJANGO, "api"),
        requirements=tuple(needs),
        **others,
    )


def django(worker_class: str, age: int) -> Configuration:
    """Django's own connections. docs.djangoproject.com, "Persistent connections"."""
    checks = {"CONN_HEALTH_CHECKS": True} if age != 0 else {}
    return peer(
        worker_class,
        f"CONN_MAX_AGE={age}",
        "psycopg2",
        database={"ENGINE": POSTGRESQL, "CONN_MAX_AGE": age, **checks},
        # Where threads stay, so do their connections.
        bound={"gthread": BOUND, "sync": WORKERS}.get(worker_class),
    )


def native_pool(worker_class: str) -> Configuration:
    """Django's pool, with health checks. docs.djangoproject.com, "Connection pool"."""
    return peer(
        worker_class,
        "Django's pool",
        "psycopg",
        database={
            "ENGINE": POSTGRESQL,
            "CONN_MAX_AGE": 0,
            "CONN_HEALTH_CHECKS": True,
            "OPTIONS": {"pool": {"min_size": SLOTS, "max_size": SLOTS, "timeout": 10}},
        },
        bound=BOUND,
    )


def never_closed(worker_class: str) -> Configuration:
    """A limit: with keep-alive clients, a connection for each that is never closed or checked."""
    return peer(
        worker_class,
        "never closed, no health check",
        "psycopg2",
        database={"ENGINE": POSTGRESQL, "CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": False},
        times=LONG,
    )


GEVENTPOOL = peer(  # github.com/jneight/django-db-geventpool, README
    "gevent",
    "django-db-geventpool",
    "psycopg2",
    "django-db-geventpool",
    database={
        "ENGINE": "django_db_geventpool.backends.postgresql_psycopg2",
        "ATOMIC_REQUESTS": False,
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {"MAX_CONNS": SLOTS, "REUSE_CONNS": SLOTS},
    },
    bound=BOUND,
)
SQLALCHEMY = peer(  # github.com/altairbow/django-db-connection-pool, README
    "gevent",
    "SQLAlchemy's pool",
    "psycopg2",
    "django-db-connection-pool[psycopg2]",
    database={
        "ENGINE": "dj_db_conn_pool.backends.postgresql",
        "POOL_OPTIONS": {"POOL_SIZE": SLOTS, "MAX_OVERFLOW": 0, "PRE_PING": True},
    },
    bound=BOUND,
)


def through_pgbouncer(worker_class: str) -> Configuration:
    """PgBouncer in transaction mode on the same host. docs.djangoproject.com, "Transaction
    pooling and server-side cursors"."""
    return peer(
        worker_class,
        "PgBouncer",
        "psycopg2",
        database={
            "ENGINE": POSTGRESQL,
            "CONN_MAX_AGE": 0,
            "DISABLE_SERVER_SIDE_CURSORS": True,
            "PORT": PGBOUNCER,
        },
        bound=BOUND,
    )


CONFIGURATIONS = [
    # The p99 of the two long ones is compared. gunicorn accepts one connection in each turn of
    # gevent's loop, so a run begins with a hundred slow answers, and wrk adds those that they
    # kept from being asked for.
    replace(service("gevent"), times=LONG),
    service("gevent", "psycopg"),
    replace(native_pool("gevent"), times=LONG),
    GEVENTPOOL,
    SQLALCHEMY,
    through_pgbouncer("gevent"),
    django("gevent", 60),
    django("gevent", 0),
    never_closed("gevent"),
    service("asgi"),
    service("asgi", "psycopg"),
    native_pool("asgi"),
    through_pgbouncer("asgi"),
    django("asgi", 60),
    django("asgi", 0),
    native_pool("uvicorn"),
    django("uvicorn", 60),
    django("uvicorn", 0),
    service("eventlet"),
    django("eventlet", 60),
    django("eventlet", 0),
    service("gthread"),
    service("gthread", health_checks=False),
    django("gthread", AGE),
    django("gthread", 0),
    service("sync"),
    service("sync", health_checks=False),
    django("sync", AGE),
    django("sync", 0),
]
