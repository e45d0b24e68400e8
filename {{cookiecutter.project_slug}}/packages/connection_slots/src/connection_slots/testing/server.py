"""Run the project's gunicorn as a process of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from socket import create_server
from urllib.parse import quote, unquote, urlsplit

from django.conf import settings
from django.db import connection

from connection_slots.testing.clients import Client, Response
from connection_slots.testing.sampler import Connection, connections_of, terminate
from connection_slots.testing.waiting import DEADLINE, wait_for

__all__ = ["DEADLINE", "Gunicorn", "free_port", "production", "serving", "wait_for"]

# The environment of a service in production, without the variables that differ by server.
PRODUCTION = {
    "SECRET_KEY": "correct-horse-battery-staple-" * 2,
    "ALLOWED_HOSTS": "127.0.0.1",
    "DEBUG": "false",
}


class Gunicorn:
    """A gunicorn that has been started with the project's gunicorn.conf.py, on a free port."""

    def __init__(self, log: Path, *arguments: str, **environment: str | None) -> None:
        """Start gunicorn with `arguments` and production() with `environment`; log to `log`."""
        self.port = free_port()
        self.log = log
        given: dict[str, str | None] = {
            "DATABASE_URL": database_url(),
            "DJANGO_SETTINGS_MODULE": os.environ["DJANGO_SETTINGS_MODULE"],
            "PORT": str(self.port),
        }
        with log.open("wb") as output:
            self.process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "gunicorn", *arguments],
                cwd=settings.BASE_DIR,
                env=production(**given | environment),
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def wait_until_serving(self) -> None:
        """Return when gunicorn answers. Raises AssertionError with its log if it ends instead."""

        def serves() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"gunicorn ended:\n{self.log.read_text()}")
            try:
                return self.get("/livez").status == 200
            except (OSError, HTTPException):
                return False

        wait_for(serves, f"gunicorn to serve, see {self.log}")

    def refusal(self) -> str:
        """Wait until gunicorn has refused to start. Return what it said, but for lines of INFO.

        Raises AssertionError if it started, or if there is a traceback.
        """
        code, said = self.process.wait(DEADLINE), self.log.read_text()
        if code == 0 or "Traceback" in said:
            raise AssertionError(f"gunicorn ended with {code}:\n{said}")
        info = "[INFO]", '"level": "info"'  # gunicorn's own log, and one in JSON
        return "\n".join(line for line in said.splitlines() if not any(i in line for i in info))

    def get(self, path: str) -> Response:
        """Request `path` on a TCP connection of its own."""
        client = Client(self.port)
        try:
            return client.get(path)
        finally:
            client.close()

    def connections(self) -> list[Connection]:
        """Return the connections to the database that this gunicorn's processes have open."""
        return connections_of(self.port)

    def terminate_connections(self) -> int:
        """End all connections on the server's side, as a failover does. Return their number."""
        ended = {each.pid for each in self.connections()}
        terminate(ended)
        wait_for(lambda: not ended & {c.pid for c in self.connections()}, "connections to end")
        return len(ended)

    def wait_until_idle(self) -> None:
        """Return when what clients abandoned has ended.

        That is when no query has run for half a second, and a probe is answered at once: before,
        greenlets of abandoned requests may still wait for the processor.
        """
        busy_at = time.monotonic()

        def is_idle() -> bool:
            nonlocal busy_at
            if any(each.active for each in self.connections()) or self.get("/livez").seconds > 0.3:
                busy_at = time.monotonic()
            return time.monotonic() - busy_at > 0.5

        wait_for(is_idle, "abandoned queries to end")

    def workers(self) -> set[int]:
        """Return the pids of the child processes: the workers, and a check while it runs."""
        master = self.process.pid
        children = Path(f"/proc/{master}/task/{master}/children")
        if children.exists():
            return {int(pid) for pid in children.read_text().split()}
        found = subprocess.run(["pgrep", "-P", str(master)], capture_output=True)  # noqa: S603, S607
        return {int(pid) for pid in found.stdout.split()}

    def reload(self) -> None:
        """Replace the workers, and return when the old ones have ended."""
        old = self.workers()
        self.process.send_signal(signal.SIGHUP)
        wait_for(lambda: not old & self.workers(), "the old workers to end")
        self.wait_until_serving()

    def stop(self) -> int:
        """Stop gracefully, or kill where that takes too long. Return the exit code."""
        self.process.terminate()
        try:
            return self.process.wait(DEADLINE)
        finally:
            self.process.kill()
            self.process.wait()


@contextmanager
def serving(log: Path, *arguments: str, **environment: str | None) -> Iterator[Gunicorn]:
    """Run gunicorn for the block. It serves when the block begins."""
    server = Gunicorn(log, *arguments, **environment)
    try:
        server.wait_until_serving()
        yield server
    finally:
        server.stop()


def production(**environment: str | None) -> dict[str, str]:
    """Return a production environment with the given variables, where None unsets one.

    Nothing else is inherited: neither the variables nor the .env file of a developer matter.
    """
    kept = ("PATH", "DATABASE_URL", "DATABASE_POOLER")
    fixed = {name: os.environ[name] for name in kept if name in os.environ} | {"ENV_FILE": ""}
    wanted = fixed | PRODUCTION | environment
    return {name: value for name, value in wanted.items() if value is not None}


def database_url() -> str:
    """Return DATABASE_URL with the name of the database that pytest-django has created."""
    url = urlsplit(os.environ["DATABASE_URL"])
    return url._replace(path=f"/{quote(connection.settings_dict['NAME'])}").geturl()


def is_test_database() -> bool:
    """Return True if Django uses another database than the one that DATABASE_URL names."""
    given = unquote(urlsplit(os.environ["DATABASE_URL"]).path)
    return bool(given != f"/{connection.settings_dict['NAME']}")


def free_port() -> int:
    """Return a port on which nothing listens."""
    with create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
