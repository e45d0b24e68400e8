"""The servers that run while something is measured: PgBouncer, and those of the configurations."""

import json
import os
import pwd
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import urlopen

import psutil

from baking.project import Project
from bench.configurations import SLOTS, WORKERS, Configuration
from bench.environments import Unavailable
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
    pgbouncer: psutil.Popen | None = None

    @property
    def url(self) -> str:
        """Return the address without a path."""
        return f"http://127.0.0.1:{self.port}"

    def workers(self) -> list[psutil.Process]:
        """Return the worker processes."""
        children: list[psutil.Process] = self.process.children()
        return children


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
        **others,
    }


@contextmanager
def serving(
    configuration: Configuration, project: Project, url: str, account: str | None, directory: Path
) -> Iterator[Server]:
    """Serve `configuration` from the database at `url`, until the context ends.

    Raise Unavailable if it does not answer.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with between(configuration, url, account, directory / "pgbouncer") as (proxied, pgbouncer):
        port = free_port()
        variables = environment(
            project,
            proxied,
            PORT=str(port),
            WEB_CONCURRENCY=str(WORKERS),
            BENCH_DATABASE=json.dumps(configuration.database),
            BENCH_GATEWAY=configuration.gateway,
            **configuration.environment,
        )
        program, *arguments = command(configuration, port)
        program = str(project.directory / ".venv" / "bin" / program)
        log = directory / "log"
        with _running([program, *arguments], log, cwd=project.directory, env=variables) as process:
            server = Server(port, process, log, pgbouncer)
            _wait(lambda: _answers(server), process, log)
            yield server


def command(configuration: Configuration, port: int) -> list[str]:
    """Return how the documentation of the server starts it, with a log of requests as gunicorn's.

    Granian's threads are those in which Django's views run.
    """
    workers = ["--workers", str(WORKERS), "--host", "127.0.0.1", "--port", str(port)]
    asgi = ["--factory", "django.core.asgi:get_asgi_application"]
    match configuration.server:
        case "uvicorn":
            return ["uvicorn", *workers, *asgi]
        case "Granian, ASGI":
            return ["granian", *workers, "--access-log", "--interface", "asgi", *asgi]
        case "Granian, WSGI":
            threads = ["--blocking-threads", configuration.environment["THREADS"]]
            interface = ["--interface", "wsgi", *threads, "config.wsgi:application"]
            return ["granian", *workers, "--access-log", *interface]
    if configuration.is_service:
        return ["gunicorn"]
    return ["gunicorn", "--config", str(SITE / "peer_gunicorn.py")]


@contextmanager
def between(
    configuration: Configuration, url: str, account: str | None, directory: Path
) -> Iterator[tuple[str, psutil.Popen | None]]:
    """Run PgBouncer where `configuration` uses one. Yield the URL to connect to, and the process.

    It is in transaction mode, with as many connections as the pools. Raise Unavailable.
    """
    if not configuration.pgbouncer:
        yield url, None
        return
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        raise Unavailable("PgBouncer is not installed: `apt-get install pgbouncer`")
    parts, port = urlsplit(url), free_port()
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o755)
    (directory / "users.txt").write_text(f'"{parts.username}" "{unquote(parts.password or "")}"\n')
    (directory / "pgbouncer.ini").write_text(
        f"[databases]\n* = host=127.0.0.1 port={parts.port}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = md5\nauth_file = {directory}/users.txt\n"
        f"pool_mode = transaction\ndefault_pool_size = {WORKERS * SLOTS}\nmax_client_conn = 1000\n"
        "log_connections = 0\nlog_disconnections = 0\n"
    )
    log = directory / "log"
    as_user: dict[str, Any] = {}
    if account is not None:  # PgBouncer refuses to run as root
        as_user = {"user": account, "group": pwd.getpwnam(account).pw_gid, "extra_groups": []}
    with _running([program, str(directory / "pgbouncer.ini")], log, cwd="/", **as_user) as process:
        _wait(lambda: _listens(port), process, log)
        yield (
            parts._replace(netloc=parts.netloc.replace(f":{parts.port}", f":{port}")).geturl(),
            process,
        )


def seed(project: Project, cluster: Cluster) -> str:
    """Create the tables and their rows in the cluster's own database.

    Return the key of a signed-in user's session. Raise CommandFailed.
    """
    variables = environment(project, cluster.url)
    manage = ("uv", "run", "--no-sync", "python", "manage.py")
    project.run(*manage, "migrate", "--verbosity=0", **variables)
    return project.run(*manage, "seed", **variables).stdout.strip()


def collect_static(project: Project, url: str) -> None:
    """Collect the static files: gunicorn does not start without. Raise CommandFailed."""
    manage = ("uv", "run", "--no-sync", "python", "manage.py")
    project.run(
        *manage, "collectstatic", "--no-input", "--verbosity=0", **environment(project, url)
    )


def free_port() -> int:
    """Return a port of loopback on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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


def _answers(server: Server) -> bool:
    with suppress(OSError), urlopen(f"{server.url}/db", timeout=10) as answer:  # noqa: S310
        # If a worker is still missing, the first load finds only one.
        return answer.status == 200 and len(server.workers()) >= WORKERS
    return False


def _listens(port: int) -> bool:
    with suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    return False


def _wait(condition: Callable[[], bool], process: psutil.Popen, log: Path) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            said = log.read_text(errors="replace").strip()[-SHOWN:]
            raise Unavailable(f"does not serve: {said or 'its log is empty'}")
        time.sleep(0.05)
