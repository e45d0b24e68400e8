"""Runs in the project's Python, without the doctor: prints effective settings as JSON to a file.

It is passed as text to `python -c`, so that nothing of the doctor is on the import path. Its one
argument is a JSON object: `settings`, `given` (whether they were asked for), `commands` (gunicorn's
arguments), `database`, `output`.
"""

import contextlib
import importlib.metadata
import io
import json
import os
import sys
import traceback
from typing import Any

SECRET = {"PASSWORD", "USER", "passfile", "sslkey", "sslpassword"}
NAMES = ("worker_class", "workers", "threads", "worker_connections", "preload_app")
LIMITS = """
    SELECT current_setting('max_connections')::int,
           current_setting('superuser_reserved_connections')::int
           + coalesce(current_setting('reserved_connections', true), '0')::int,
           (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user),
           (SELECT datconnlimit FROM pg_database WHERE datname = current_database()),
           (SELECT count(*) FROM pg_stat_activity
            WHERE backend_type = 'client backend' AND usename IS DISTINCT FROM current_user)
"""


def gunicorn(arguments: list[str]) -> dict[str, Any]:
    """Return the settings that gunicorn itself loads for a command line."""
    from gunicorn.app.base import Application

    class Loader(Application):  # type: ignore[misc]
        def init(self, parser: Any, opts: Any, args: Any) -> None:
            pass

        def load(self) -> None:
            pass

    sys.argv = ["gunicorn", *arguments]
    configuration = Loader().cfg
    found = {name: getattr(configuration, name) for name in NAMES}
    found["worker_class"] = configuration.worker_class_str
    found["control_socket_disable"] = getattr(configuration, "control_socket_disable", True)
    return found


def limits(alias: str) -> list[int | None]:
    """Return what a PostgreSQL server says of its connections."""
    from django.db import connections

    with connections[alias].cursor() as cursor:
        cursor.execute(LIMITS)
        return list(cursor.fetchone())


def main() -> None:
    """Write what was asked for, or why it cannot be told, in one line."""
    asked = json.loads(sys.argv[1])
    sys.argv = ["manage.py"]
    try:
        text = json.dumps(answer(asked), default=str)
    except BaseException as error:
        reason = "".join(traceback.format_exception_only(error))
        text = json.dumps({"failed": " ".join(reason.split())})
    with open(asked["output"], "w", encoding="utf-8") as file:
        file.write(text)


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    """Return what was asked for."""
    if asked["given"] or "DJANGO_SETTINGS_MODULE" not in os.environ:
        os.environ["DJANGO_SETTINGS_MODULE"] = asked["settings"]
    result: dict[str, Any] = {"gunicorn": [], "servers": {}, "releases": {}}
    import django
    from django.conf import settings
    from django.db import connections

    result["databases"] = {
        alias: {key: value for key, value in entry.items() if key not in SECRET}
        for alias, entry in connections.settings.items()
    }
    result["slots"] = getattr(settings, "DATABASE_SLOTS", None)
    if asked["database"]:
        django.setup()
        for alias, entry in connections.settings.items():
            if connections[alias].vendor == "postgresql" and entry.get("NAME"):
                result["servers"][alias] = limits(alias)
    for name in ("django", "gunicorn", "psycopg", "psycopg2", "psycopg2-binary", "psycogreen"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            result["releases"][name] = importlib.metadata.version(name)
    here = os.getcwd()
    for arguments in asked["commands"]:
        said = io.StringIO()
        try:
            with contextlib.redirect_stderr(said):
                result["gunicorn"].append(gunicorn(arguments))
        except (Exception, SystemExit) as error:
            text = said.getvalue() if isinstance(error, SystemExit) else str(error)
            lines = [line.strip() for line in text.splitlines() if line.strip(" ]")]
            result["gunicorn"].append(lines[-1] if lines else repr(error))
        os.chdir(here)
    return result


if __name__ == "__main__":
    main()
