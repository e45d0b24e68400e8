"""Run one gunicorn of a baked project, which can be drained, stopped, killed and started again."""

import contextlib
import os
import random
import signal
import socket
import subprocess
from pathlib import Path

from baking.project import Project
from connection_slots.testing.server import production

STOP = 40.0  # seconds: graceful_timeout of gunicorn.conf.py (25 s), and something to spare
LOWEST_PORT = 10_000  # well-known services are below
SHOWN = 2000  # characters of the log that an error shows


def free_port_below(used: set[int]) -> int:
    """Return a free port that the kernel does not give to clients, and add it to `used`.

    A port from free_port() may become the port of some client while its server is down. Raises
    AssertionError if there is none.
    """
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    candidates = list(range(LOWEST_PORT, first))
    random.shuffle(candidates)  # two commands at once do not choose the same
    for port in candidates:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in used:
                used.add(port)
                return port
    raise AssertionError("no port is free")


class Instance:
    """One replica of the service, on a port of its own."""

    def __init__(
        self, name: str, project: Project, port: int, directory: Path, environment: dict[str, str]
    ) -> None:
        """Note where it runs: its log and its DRAIN_FILE are in `directory`. start() starts it."""
        self.name = name
        self.port = port
        self.log = directory / f"{name}.log"
        self.drain_file = directory / f"{name}.draining"
        self._project = project
        own = {
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "PORT": str(port),
            "DRAIN_FILE": str(self.drain_file),
            "DATABASE_POOLER": None,  # unless `environment` has it
        }
        self._environment = production(**own | environment)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start gunicorn, and return at once."""
        self.drain_file.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._project.directory / ".venv" / "bin" / "gunicorn"],
                cwd=self._project.directory,
                env=self._environment,
                stdout=log,
                stderr=log,
                # A process group of its own: kill() ends master and workers together, and Ctrl-C
                # of a terminal reaches the command only, which then stops everything in turn.
                start_new_session=True,
            )

    def assert_runs(self) -> None:
        """Raise AssertionError with the end of its log if gunicorn has ended."""
        if self._process is None or self._process.poll() is not None:
            raise AssertionError(f"{self.name} ended:\n{self.log.read_text()[-SHOWN:]}")

    def drain(self) -> None:
        """Make /readyz answer 503."""
        self.drain_file.touch()

    def stop(self) -> None:
        """Stop gunicorn gracefully. Raises AssertionError if that takes longer than STOP."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"{self.name} did not stop within {STOP:g} s") from error
        finally:
            self.kill()

    def kill(self) -> None:
        """End the master and its workers by SIGKILL, all at once."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None
