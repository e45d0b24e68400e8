"""Start the server of a configuration, and PgBouncer in front of the database if it uses one."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil

from baking.pgbouncer import PgBouncer, pgbouncer
from baking.project import Project
from bench.configurations import WORKERS, Configuration
from bench.environments import Unavailable
from connection_slots.testing.server import free_port
from devdb import Cluster

SITE = Path(__file__).resolve().parent / "site"
SHOWN = 4000  # characters of a log: gunicorn's own traceback follows that of the worker
TIMEOUT = 30.0  # seconds for a server to start or to stop
SECRET_KEY = "correct-horse-battery-staple-" * 2  # the same for all: they share the session


@dataclass
class Server:
    """A running configuration."""

    port: int
    process: psutil.Popen
    log: Path
    pgbouncer: PgBouncer | None

    @property
    def url(self) -> str:
        """Return the address without a path."""
        return f"http://127.0.0.1:{self.port}"

    def workers(self) -> list[psutil.Process]:
        """Return the worker processes, without the helper that multiprocessing starts."""
        return [each for each in self.process.children() if not _is_helper(each)]


@contextmanager
def serving(
    configuration: Configuration, project: Project, url: str, directory: Path
) -> Iterator[Server]:
    """Serve `configuration` from the database at `url`, until the context ends.

    Raise Unavailable if it does not answer.
    """
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port()
    threads = configuration.environment["THREADS"]
    program, *arguments = configuration.command.format(
        site=SITE, workers=WORKERS, port=port, threads=threads
    ).split()
    command = [str(project.directory / ".venv" / "bin" / program), *arguments]
    with _between(configuration, url) as bouncer:
        variables = environment(
            project,
            bouncer.url if bouncer else url,
            PORT=str(port),
            WEB_CONCURRENCY=str(WORKERS),
            BENCH_DATABASE=json.dumps(configuration.database),
            BENCH_GATEWAY=configuration.gateway,
            **configuration.environment,
        )
        log = directory / "log"
        with _running(command, log, cwd=project.directory, env=variables) as process:
            server = Server(port, process, log, bouncer)
            wait_until(lambda: process.poll() is not None or _answers(server), TIMEOUT)
            if process.poll() is not None or not _answers(server):
                said = log.read_text(errors="replace").strip()[-SHOWN:]
                raise Unavailable(f"does not serve: {said or 'its log is empty'}")
            yield server


def seed(project: Project, cluster: Cluster) -> str:
    """Create the tables and their rows in the cluster's own database.

    Return the key of a signed-in user's session. Raise CommandFailed.
    """
    manage(project, cluster.url, "migrate", "--verbosity=0")
    return manage(project, cluster.url, "seed")


def manage(project: Project, url: str, *command: str) -> str:
    """Run `manage.py` on the database at `url`, and return its output. Raise CommandFailed."""
    python = ("uv", "run", "--no-sync", "python", "manage.py")
    return project.run(*python, *command, **environment(project, url)).stdout.strip()


def environment(project: Project, url: str, **others: str) -> dict[str, str]:
    """Return the environment variables of `project` on the database at `url`."""
    return project.environment | {
        "PYTHONPATH": str(SITE),
        "DJANGO_SETTINGS_MODULE": "bench_settings",
        "DATABASE_URL": url,
        "SECRET_KEY": SECRET_KEY,
        "ALLOWED_HOSTS": "127.0.0.1",
        "ENV_FILE": "",
        "BENCH_DATABASE": "null",
        "BENCH_GATEWAY": "wsgi",
        "BENCH_APPLICATION": "django.core.asgi:get_asgi_application()",
        **others,
    }


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Return True as soon as `condition` holds, or False after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@contextmanager
def _between(configuration: Configuration, url: str) -> Iterator[PgBouncer | None]:
    """Run PgBouncer in transaction mode if `configuration` uses it. Raise FileNotFoundError."""
    if not configuration.pgbouncer:
        yield None
        return
    quiet = {"log_connections": "0", "log_disconnections": "0"}
    with pgbouncer(url, configuration.bound or 0, **quiet) as bouncer:
        yield bouncer


@contextmanager
def _running(command: list[str], log: Path, **options: Any) -> Iterator[psutil.Popen]:
    """Run a server until the context ends. Kill it, and all that it started, if it does not stop.

    It has a session of its own: Ctrl-C is for the bench, which then stops it.
    """
    with log.open("ab") as output:
        process = psutil.Popen(
            command, stdout=output, stderr=output, start_new_session=True, **options
        )
    try:
        yield process
    finally:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGINT)
        try:
            process.wait(TIMEOUT)
        except psutil.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(TIMEOUT)


def _is_helper(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return any("resource_tracker" in word for word in process.cmdline())
    return True


def _answers(server: Server) -> bool:
    with suppress(OSError), urlopen(f"{server.url}/db", timeout=10) as answer:  # noqa: S310
        # If a worker is still missing, the first load finds only one.
        return answer.status == 200 and len(server.workers()) >= WORKERS
    return False
