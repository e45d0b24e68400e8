"""The built-in rules. docs/rules/ has a page for each, with the incident that it prevents."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator

from packaging.version import Version

from gunicorn_doctor import gunicorn
from gunicorn_doctor.project import Database, Project
from gunicorn_doctor.rules import Rule
from gunicorn_doctor.source import assigned
from gunicorn_doctor.values import Location, Value

Found = Iterator[tuple[Location, str]]
GREEN = {"gevent", "eventlet"}
PSYCOGREEN = re.compile(r"patch_psycopg|make_psycopg_green|set_wait_callback")
# At the top of a module that the master imports first.
PATCHED = re.compile(r"^([\w.]+\.)?(patch_all|monkey_patch)\(", re.MULTILINE)
SET_TIMEOUT = re.compile(r"\bSET\s+(SESSION\s+)?statement_timeout\b", re.IGNORECASE)
POOLED_HOST = re.compile(r"bouncer|pooler|pgcat|odyssey", re.IGNORECASE)
POOL_PORTS = {"6432", "6543"}  # PgBouncer's own, and that of Supabase's pooler
RESERVED = 3  # superuser_reserved_connections, PostgreSQL's default
MAX_CONNECTIONS = 100  # PostgreSQL's default


def not_understood(project: Project) -> Found:
    """Yield what the doctor could not read."""
    yield from project.problems


def persistent(value: Value) -> Value | None:
    """Return the alternative of CONN_MAX_AGE that keeps connections, or None."""
    for option in value.options():
        if option.data is None or (option.integer() or 0) > 0:
            return option
    return None


def persistent_connections(project: Project) -> Found:
    """Yield databases whose connections are kept by threads or greenlets that end."""
    servers: dict[tuple[Location, str], list[str]] = {}
    for deployment, database in project.pairs():
        age = persistent(database.age)
        if deployment.family not in {"asgi", *GREEN} or not age or database.bounded:
            continue
        if not (database.pools and database.option("pool").known):  # that is DG002
            key = age.where or database.where, str(age)
            servers.setdefault(key, []).append(deployment.server)
    for (where, text), found in servers.items():
        yield (
            where,
            f"CONN_MAX_AGE is {text} with {', '.join(dict.fromkeys(found))}: each request runs in a"
            " new thread or greenlet, which never finds the kept connection again",
        )


def pool_and_age(project: Project) -> Found:
    """Yield databases that Django refuses: a pool with persistent connections."""
    for _, database in project.pairs():
        age = persistent(database.age)
        certainly = database.age.known and database.option("pool").known
        if database.pools and age and certainly:
            yield (
                age.where or database.where,
                f"CONN_MAX_AGE is {age} and a pool is on: Django raises ImproperlyConfigured",
            )


def pool_of_one(project: Project) -> Found:
    """Yield pools of worker processes that use one connection at a time."""
    for deployment, database in project.pairs():
        size = database.pool_size("min_size")
        if deployment.family == "sync" and size is not None and size > 1:
            pool = database.pools[0]
            yield (
                pool.where or database.where,
                f"the pool opens {size} connections in each worker of {deployment.server}, which"
                " uses one at a time",
            )


def preload(project: Project) -> Found:
    """Yield preloading with a pool or with gevent."""
    for deployment in project.deployments:
        setting = deployment.setting("preload_app")
        if deployment.program != "gunicorn" or not any(each.data for each in setting.options()):
            continue
        where = setting.where or deployment.where
        pools = [each for each in deployment.databases if each.postgresql and each.pools]
        if deployment.family in GREEN:
            if any(PATCHED.search(text) for text in project.texts.values()):
                continue
            yield (
                where,
                f"preload_app is on with {deployment.server}: Django and the driver are imported"
                " before the worker patches the standard library",
            )
        elif pools:
            yield (
                where,
                f"preload_app is on and the database {pools[0].alias!r} has a pool: if it is opened"
                " in the master, workers inherit it and wait for its threads, which do not run",
            )


def blocking_driver(project: Project) -> Found:
    """Yield gevent with psycopg2 that nothing makes yield."""
    required = project.requirements
    psycopg2 = "psycopg2" in required or "psycopg2-binary" in required
    patched = any(PSYCOGREEN.search(text) for text in project.texts.values())
    for deployment, database in project.pairs():
        if deployment.family != "gevent" or not psycopg2 or patched or "psycopg" in required:
            continue
        if "geventpool" not in database.engine:
            yield (
                deployment.setting("worker_class").where or deployment.where,
                f"{deployment.server} uses psycopg2, and nothing calls psycogreen's"
                " patch_psycopg(): every query stops all requests of the worker",
            )


def unbounded(project: Project) -> Found:
    """Yield deployments in which the number of clients decides the number of connections."""
    for deployment, database in project.pairs():
        if database.bounded or database.pools or persistent(database.age):
            continue  # bounded, or DG001
        if deployment.family in GREEN and "worker_connections" not in deployment.settings:
            where = deployment.setting("worker_class").where or deployment.where
            yield (
                where,
                f"{deployment.server} serves 1000 clients at a time in each worker, each with a"
                " connection of its own: worker_connections is not set and there is no pool",
            )
        if deployment.family == "asgi" and "limit_concurrency" not in deployment.settings:
            setting = deployment.settings.get("worker_class")
            yield (
                (setting and setting.where) or deployment.where,
                f"{deployment.server} opens a connection for each request that is in work, and"
                " nothing limits these: there is no pool",
            )


def leaking_asgi(project: Project) -> Found:
    """Yield releases of gunicorn whose ASGI worker keeps idle connections open."""
    release = project.requirements.release("gunicorn")
    for deployment in project.deployments:
        own = deployment.setting("worker_class").string() == "asgi"
        affected = release and Version("25.1.0") <= release < Version("26.1.0")
        if deployment.program == "gunicorn" and own and affected and deployment.databases:
            if all(database.bounded for database in deployment.databases):
                continue
            yield (
                project.requirements.where["gunicorn"],
                f"gunicorn {release} swallows the cancellation that ends a request of its asgi"
                " worker, so Django does not close the connection",
            )


def removed_eventlet(project: Project) -> Found:
    """Yield the eventlet worker with a gunicorn that has none."""
    release = project.requirements.release("gunicorn")
    for deployment in project.deployments:
        if deployment.family == "eventlet" and release and release >= Version("26"):
            yield (
                project.requirements.where["gunicorn"],
                f"gunicorn {release} has no eventlet worker, which {deployment.where} asks for",
            )


def misspelt_setting(project: Project) -> Found:
    """Yield names in gunicorn's configuration that gunicorn ignores."""
    for path in {each.configuration for each in project.deployments if each.configuration}:
        for name, line in assigned(project.texts[path]).items():
            if name in gunicorn.SETTINGS:
                continue
            near = difflib.get_close_matches(name, sorted(gunicorn.SETTINGS), n=1, cutoff=0.6)
            hint = {"access_logfile": "accesslog", "error_logfile": "errorlog"}.get(name)
            hint = hint or (near[0] if near else "")
            suggestion = f"; did you mean {hint}?" if hint else ""
            yield (
                project.location(path, line),
                f"gunicorn has no setting {name} and ignores it{suggestion}",
            )


def no_connect_timeout(project: Project) -> Found:
    """Yield databases that a worker may wait for without end."""
    for _, database in project.pairs():
        if database.local or "service" in database.options:
            continue
        if database.option("connect_timeout").data is None:
            yield (
                database.where,
                f"the database {database.alias!r} has no connect_timeout: a worker waits about two"
                " minutes for a host that does not answer",
            )


def no_statement_timeout(project: Project) -> Found:
    """Yield databases whose statements may run without end."""
    for _, database in project.pairs():
        options = [str(each.data) for each in database.option("options").options()]
        if "statement_timeout" not in " ".join(options) and not any(
            SET_TIMEOUT.search(text) for text in project.texts.values()
        ):
            yield (
                database.where,
                f"the database {database.alias!r} has no statement_timeout: a slow statement holds"
                " its connection, also after gunicorn has killed its worker",
            )


def pooled(project: Project, database: Database) -> str:
    """Return why a database is reached through a pooler, or an empty string."""
    if project.pooler:
        return f"a pooler is deployed ({project.pooler})"
    host = database.get("HOST")
    address, _, port = host.string().partition(":")
    port = port or str(database.get("PORT").data)
    if POOLED_HOST.search(address) or port in POOL_PORTS:
        return f"HOST and PORT are those of a pooler ({address or 'unknown'}:{port})"
    if re.search(r"POOL|BOUNCER", host.variable):
        return f"its address is in the environment variable {host.variable}"
    return ""


def server_side_cursors(project: Project) -> Found:
    """Yield databases behind a pooler that use server-side cursors."""
    for _, database in project.pairs():
        disabled = database.get("DISABLE_SERVER_SIDE_CURSORS")
        why = pooled(project, database)
        # From a variable, it is set where the address is: in the environment.
        if why and not any(each.data or each.variable for each in disabled.options()):
            yield (
                database.where,
                f"DISABLE_SERVER_SIDE_CURSORS is not set for {database.alias!r}, but {why}: with"
                " transaction pooling, iterator() fails with InvalidCursorName",
            )


def budget(project: Project) -> Found:
    """Yield deployments that may open more connections than the server has."""
    for deployment, database in project.pairs():
        workers = deployment.workers.integer()
        each = deployment.connections(database).integer()
        if not deployment.family or each is None:
            continue  # there is no bound: DG006
        if workers is None:
            reason = f"workers is {deployment.workers}"
            project.unchecked.append(f"DG013 for {deployment.where}: {reason}")
            continue
        total = deployment.replicas * workers * each
        capacity, source = limit(project, database)
        if total > capacity:
            yield (
                deployment.where,
                f"{deployment.replicas} replicas x {workers} workers x {each} connections ="
                f" {total}, but {database.alias!r} has {capacity} ({source})",
            )


def limit(project: Project, database: Database) -> tuple[int, str]:
    """Return how many connections a database has for the service, and where that is from."""
    if server := project.servers.get(database.alias):
        free = server.max_connections - server.reserved
        limits = [free, *filter(None, (server.role_limit, server.database_limit))]
        return min(limits) - server.used_by_others, "as the server says, less those of others"
    if project.max_connections:
        number, where = project.max_connections
        return number - RESERVED, f"max_connections in {where}, less {RESERVED} reserved"
    return MAX_CONNECTIONS - RESERVED, "PostgreSQL's default, less those reserved"


def geventpool(project: Project) -> Found:
    """Yield django-db-geventpool on a Django that it does not support."""
    release = project.requirements.release("django")
    for _, database in project.pairs():
        if "geventpool" in database.engine and release and release >= Version("5.1"):
            yield (
                database.get("ENGINE").where or database.where,
                f"django-db-geventpool on Django {release}: Django believes that the backend's pool"
                " sets the time zone of a connection, and this one does not",
            )


def control_socket(project: Project) -> Found:
    """Yield deployments in which gunicorn cannot create its control socket."""
    release = project.requirements.release("gunicorn")
    for deployment in project.deployments:
        moved = "control_socket" in deployment.settings
        if (
            deployment.program == "gunicorn"
            and deployment.unwritable
            and release
            and release >= Version("25.1")
            and not moved
            and not deployment.setting("control_socket_disable").data
        ):
            yield (
                deployment.where,
                f"gunicorn {release} creates a control socket in the home directory, but"
                f" {deployment.unwritable}",
            )


def rule(number: int, severity: str, title: str, fix: str, check: object) -> Rule:
    """Return a built-in rule."""
    return Rule(f"DG{number:03}", severity, title, fix, check)  # type: ignore[arg-type]


RULES = [
    rule(0, "note", "Not understood",
         "Write it plainly, or check with --django what it evaluates to.", not_understood),
    rule(1, "error", "Persistent connections with requests in new threads or greenlets",
         "Set CONN_MAX_AGE to 0, and bound connections with a pool.", persistent_connections),
    rule(2, "error", "Pool together with CONN_MAX_AGE", "Set CONN_MAX_AGE to 0.", pool_and_age),
    rule(3, "warning", "Pool larger than the worker can use",
         "Remove the pool and use CONN_MAX_AGE, or set min_size and max_size to 1.", pool_of_one),
    rule(4, "error", "Preloading with a pool or with gevent",
         "Set preload_app to False.", preload),
    rule(5, "error", "gevent with psycopg2 that does not yield",
         "Call psycogreen.gevent.patch_psycopg() in post_fork, or use psycopg 3.", blocking_driver),
    rule(6, "warning", "Unbounded connections",
         "Use a pool with max_size, or set worker_connections (gevent, eventlet).", unbounded),
    rule(7, "error", "gunicorn whose asgi worker leaks connections",
         "Require gunicorn>=26.1.", leaking_asgi),
    rule(8, "error", "eventlet worker with gunicorn 26 or later",
         "Require gunicorn<26, or change the worker class.", removed_eventlet),
    rule(9, "warning", "Setting that gunicorn ignores",
         "Correct the name; begin the names of helpers with an underscore.", misspelt_setting),
    rule(10, "note", "No connect time-out",
         "Set OPTIONS['connect_timeout'], in seconds, below gunicorn's timeout.",
         no_connect_timeout),
    rule(11, "note", "No statement time-out",
         "Set OPTIONS['options'] = '-c statement_timeout=15s'.", no_statement_timeout),
    rule(12, "error", "Pooler with server-side cursors",
         "Set DISABLE_SERVER_SIDE_CURSORS to True.", server_side_cursors),
    rule(13, "error", "More connections than the server has",
         "Lower replicas, workers or connections of a worker, or raise max_connections.", budget),
    rule(14, "warning", "django-db-geventpool on Django 5.1 or later",
         "Use Django's own pool, or another bounded backend.", geventpool),
    rule(15, "note", "Control socket that cannot be created",
         "Set control_socket_disable to True.", control_socket),
]  # fmt: skip
