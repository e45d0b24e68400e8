"""The PostgreSQL server: start it, share it between processes, stop it."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from devdb.account import server_account
from devdb.binaries import find_binaries, keep_copies, reachable
from devdb.errors import DevdbError
from devdb.initialize import create
from devdb.locks import Users, exclusive
from devdb.programs import Programs, cause
from devdb.project import identifier

TIMEOUT = 30.0  # seconds for the server to start or to stop
LOCK_TIMEOUT = 90.0  # seconds for another devdb to create the data and to start the server
FASTER = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


class Cluster:
    """A PostgreSQL server on loopback with SCRAM, and its data in one directory.

    Processes that name the same directory share the server; it stops with its last user. A
    `throw_away` cluster is faster, and its data does not survive a crash of the machine.
    """

    def __init__(
        self,
        directory: Path,
        *,
        name: str = "devdb",
        throw_away: bool = False,
        max_connections: int = 100,  # PostgreSQL's own default
    ) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.name = identifier(name)
        self.throw_away = throw_away
        self.max_connections = max_connections
        self.account = server_account()
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._users = Users(directory / "users")

    @property
    def url(self) -> str:
        """Return the value for DATABASE_URL."""
        password = (self.directory / "password").read_text()
        return f"postgresql://{self.name}:{quote(password)}@127.0.0.1:{self.port}/{self.name}"

    @property
    def pid(self) -> int | None:
        """Return the process id of the running server, or None where none runs."""
        if self._process is not None and self._process.poll() is None:
            return self._process.pid
        try:
            pid = int(self._status()[0])
            os.kill(pid, 0)
        except (OSError, ValueError, IndexError):
            return None
        return pid

    @cached_property
    def binaries(self) -> Path:
        """Return the directory of the programs: those that fit the data where there is data."""
        noted = self.data / "PG_VERSION"
        version = int(noted.read_text()) if noted.exists() else None
        return find_binaries(version)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Create the data where there is none, and start the server where it is not running.

        Raise DevdbError where that is impossible.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        with exclusive(self.directory / "lock", LOCK_TIMEOUT):
            if self.data.exists():
                self._check_name()
            else:
                create(self.directory, self.name, self._programs())
            self._users.join()
            try:
                if not self._attach():
                    self._launch()
            except BaseException:
                self._users.leave()
                raise

    def stop(self) -> None:
        """Stop the server where this is its last user: sessions are ended, data is flushed."""
        if not self.directory.exists():
            return
        with exclusive(self.directory / "lock", LOCK_TIMEOUT):
            if self._users.leave():
                if not self._end(signal.SIGINT):
                    self.kill()
            elif self.pid is not None:
                keep_copies()

    def kill(self) -> None:
        """End the server as a crash does: nothing is flushed. start() recovers the data."""
        self._end(signal.SIGQUIT)

    def _programs(self) -> Programs:
        return Programs(reachable(self.binaries, self.account), self.account)

    def _check_name(self) -> None:
        noted = self.directory / "name"
        if noted.exists() and (name := noted.read_text()) != self.name:
            raise DevdbError(
                f'the database in {self.directory} is named "{name}" and not "{self.name}": '
                f"set DEVDB_NAME={name}, or delete that directory to begin anew."
            )

    def _attach(self) -> bool:
        """Use the server that already runs on this data. Return False where none does."""
        if self.pid is None:
            return False
        try:
            port = int(self._status()[3])
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except (OSError, ValueError, IndexError):
            return False
        self.port = port
        return True

    def _launch(self) -> None:
        self.port = self._choose_port()
        settings = ["listen_addresses=127.0.0.1", "unix_socket_directories="]
        settings += [f"max_connections={self.max_connections}"]
        settings += FASTER if self.throw_away else ()
        options = [word for setting in settings for word in ("-c", setting)]
        log = self.directory / "log"
        process = self._programs().start_server(self.data, ["-p", str(self.port), *options], log)
        self._process = process
        try:
            _wait(lambda: self._is_ready() or process.poll() is not None)
            if not self._is_ready():
                why = cause(log.read_text(errors="replace"))
                where = "" if self.throw_away else f" ({log} says more)"
                raise DevdbError(f"PostgreSQL did not start: {why}{where}")
        except BaseException:
            self.kill()
            raise

    def _end(self, number: signal.Signals) -> bool:
        """Send a signal to the server. Return True when it has ended, False after TIMEOUT."""
        pid = self.pid
        if pid is None:
            return True
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        return _wait(lambda: self.pid != pid)

    def _status(self) -> list[str]:
        """Return the lines of postmaster.pid: the 1st is the pid, 4th the port, 8th the state."""
        return (self.data / "postmaster.pid").read_text().splitlines()

    def _is_ready(self) -> bool:
        try:
            status = self._status()
        except OSError:
            return False
        return len(status) > 7 and status[7].strip() == "ready" and int(status[0]) == self.pid

    def _choose_port(self) -> int:
        """Return the last port, so that a noted DATABASE_URL stays right, else a free one."""
        noted = self.directory / "port"
        last = noted.read_text() if noted.exists() else ""
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", int(last) if last.isdigit() else 0))
            except OSError:
                probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        noted.write_text(str(port))
        return port


def _wait(condition: Callable[[], bool]) -> bool:
    """Return True as soon as `condition` holds, False after TIMEOUT."""
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
