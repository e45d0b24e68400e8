"""The processes that are measured: PostgreSQL, PgBouncer and gunicorn."""

import json
import os
import pwd
import selectors
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import urlopen

from baking.project import Project
from bench.configurations import BOUND, PGBOUNCER, SLOTS, WORKERS, Configuration
from bench.environments import Environments, Unavailable
from bench.processes import children

SITE = Path(__file__).resolve().parent / "site"
DEADLINE = 30.0  # seconds for a server to start or to stop


@dataclass(frozen=True)
class PostgreSQL:
    """A running server."""

    url: str
    pid: int
    binaries: Path
    account: str | None  # whom it runs as, when this is root

    def with_database(self, name: str) -> "PostgreSQL":
        """The same server, another database."""
        return replace(self, url=urlsplit(self.url)._replace(path=f"/{name}").geturl())

    @property
    def address(self) -> dict[str, Any]:
        """For Django's DATABASES."""
        parts = urlsplit(self.url)
        return {
            "NAME": parts.path[1:],
            "USER": parts.username,
            "PASSWORD": unquote(parts.password or ""),
            "HOST": parts.hostname,
            "PORT": str(parts.port),
        }


@contextmanager
def postgresql(project: Project, directory: Path, max_connections: int) -> Iterator[PostgreSQL]:
    """A new cluster below `directory`."""
    command = ["uv", "run", "python", "-m", "measured.postgresql", str(directory)]
    process = subprocess.Popen(
        [*command, str(max_connections)],
        cwd=project.directory,
        env=project.environment | {"PYTHONPATH": str(SITE)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for the bench, which then closes standard input
    )
    assert process.stdin is not None  # noqa: S101
    assert process.stdout is not None  # noqa: S101
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            started = process.stdout.readline() if selector.select(DEADLINE) else ""
        if not started:
            raise Unavailable("PostgreSQL did not start")
        said = json.loads(started)
        yield PostgreSQL(said["url"], said["pid"], Path(said["binaries"]), said["account"])
    finally:
        process.stdin.close()
        process.wait(2 * DEADLINE)


@contextmanager
def pgbouncer(server: PostgreSQL, directory: Path) -> Iterator[tuple[int, int]]:
    """PgBouncer in transaction mode with as many connections as the pools: its port and pid."""
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        raise Unavailable("pgbouncer is not installed")
    address, port = server.address, free_port()
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o755)
    (directory / "users.txt").write_text(f'"{address["USER"]}" "{address["PASSWORD"]}"\n')
    (directory / "pgbouncer.ini").write_text(
        f"[databases]\n* = host={address['HOST']} port={address['PORT']}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = md5\nauth_file = {directory}/users.txt\n"
        f"pool_mode = transaction\ndefault_pool_size = {BOUND}\nmax_client_conn = 1000\n"
        "log_connections = 0\nlog_disconnections = 0\n"
    )
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, "-q", str(directory / "pgbouncer.ini")],
            stdout=log,
            stderr=log,
            start_new_session=True,
            **_as_user(server.account),
        )
    try:
        _wait(lambda: _listens(port), process, directory / "log")
        yield port, process.pid
    finally:
        _end(process)


@dataclass
class Gunicorn:
    """A running configuration."""

    port: int
    process: subprocess.Popen[bytes]
    others: tuple[int, ...] = ()  # pids of what stands between it and PostgreSQL

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def workers(self) -> list[int]:
        """The pids of its worker processes."""
        return children(self.process.pid)


@contextmanager
def gunicorn(
    configuration: Configuration, environments: Environments, server: PostgreSQL, directory: Path
) -> Iterator[Gunicorn]:
    """`configuration`, until the context ends. Raises Unavailable when it does not serve."""
    programs = environments.programs(configuration)
    directory.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        between: tuple[int, int] | None = None
        if configuration.pgbouncer:
            between = stack.enter_context(pgbouncer(server, directory / "pgbouncer"))
        started = _gunicorn(configuration, programs, environments, server, directory, between)
        yield stack.enter_context(started)


@contextmanager
def _gunicorn(
    configuration: Configuration,
    programs: Path,
    environments: Environments,
    server: PostgreSQL,
    directory: Path,
    between: tuple[int, int] | None,
) -> Iterator[Gunicorn]:
    port = free_port()
    kind = "service" if configuration.is_service else "peer"
    log = directory / "gunicorn.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [programs / "gunicorn", "--config", SITE / "measured" / f"gunicorn_{kind}.py"],
            cwd=environments.project(configuration.project).directory
            if kind == "service"
            else SITE,
            env=_environment(configuration, server, port, between[0] if between else 0)
            | {"DJANGO_SETTINGS_MODULE": f"measured.{kind}"},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    running = Gunicorn(port, process, between[1:] if between else ())
    try:
        _wait(lambda: _answers(running), process, log)
        yield running
    finally:
        _end(process)


def _environment(
    configuration: Configuration, server: PostgreSQL, port: int, pgbouncer_port: int
) -> dict[str, str]:
    database = {**server.address, **configuration.database}
    if database["PORT"] == PGBOUNCER:
        database["PORT"] = str(pgbouncer_port)
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(SITE),
        "SECRET_KEY": "correct-horse-battery-staple-" * 2,
        "ALLOWED_HOSTS": "127.0.0.1",
        "PORT": str(port),
        "DATABASE_URL": server.url,
        "WEB_CONCURRENCY": str(WORKERS),
        "DATABASE_SLOTS": str(SLOTS),
        "THREADS": str(SLOTS),  # of gthread: as many as slots, so that peers have the same bound
        "ENV_FILE": "",
        "BENCH_DATABASE": json.dumps(database),
        "BENCH_GATEWAY": configuration.gateway,
        "BENCH_WORKER": configuration.worker,
        "BENCH_PSYCOGREEN": str("psycogreen" in configuration.requirements).lower(),
        **configuration.environment,
    }


def get(url: str) -> int:
    """The status of one answer. Raises OSError."""
    with urlopen(url, timeout=10) as answer:  # noqa: S310
        answer.read()
        return int(answer.status)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(server: Gunicorn) -> bool:
    with suppress(OSError):
        # Every worker has to be there, or the first load finds only one.
        return get(f"{server.url}/query") == 200 and len(server.workers()) == WORKERS
    return False


def _listens(port: int) -> bool:
    with suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    return False


def _wait(condition: Any, process: subprocess.Popen[bytes], log: Path) -> None:
    give_up = time.monotonic() + DEADLINE
    while not condition():
        if process.poll() is not None or time.monotonic() > give_up:
            said = log.read_text(errors="replace").strip()[-300:]
            raise Unavailable(f"does not serve: {said or 'no word in its log'}")
        time.sleep(0.05)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Tell it to stop at once; what does not is killed with all that it started."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(DEADLINE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(DEADLINE)


def _as_user(account: str | None) -> dict[str, Any]:
    if account is None:
        return {}
    return {"user": account, "group": pwd.getpwnam(account).pw_gid, "extra_groups": [], "cwd": "/"}
