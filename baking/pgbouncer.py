"""Run a real PgBouncer in transaction mode, in front of a PostgreSQL."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from connection_slots.testing.server import free_port, wait_for

MISSING = "PgBouncer is not installed: `apt-get install pgbouncer`"

# Only what differs from the defaults. The defaults are strict: `options` is refused at connect.
CONFIGURATION = """\
[databases]
* = host={host} port={port} user={user} password={password}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {pool_size}
max_client_conn = 1000
server_login_retry = 1
{extra}
"""


def is_installed() -> bool:
    """Return True if the program is there. Debian has it in /usr/sbin."""
    return program() is not None


def program() -> str | None:
    """Return the path of PgBouncer, or None."""
    return shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")


class PgBouncer:
    """One PgBouncer, on a port of its own."""

    def __init__(
        self, database_url: str, pool_size: int, *, port: int = 0, **settings: str
    ) -> None:
        """Configure it for the server of `database_url`, on any port by default."""
        self.port = port or free_port()
        self.pool_size = pool_size
        url = urlsplit(database_url)
        self.url = url._replace(netloc=f"{url.username}@127.0.0.1:{self.port}").geturl()
        self.directory = Path(tempfile.mkdtemp())
        self.log = self.directory / "log"
        self._process: subprocess.Popen[bytes] | None = None
        if os.getuid() == 0:  # it refuses to run as root
            settings = {"user": "nobody", **settings}
            self.directory.chmod(0o755)
        text = CONFIGURATION.format(
            host=url.hostname,
            port=url.port,
            user=url.username,
            password=url.password or "''",
            listen=self.port,
            pool_size=pool_size,
            extra="\n".join(f"{name} = {value}" for name, value in settings.items()),
        )
        (self.directory / "pgbouncer.ini").write_text(text)

    @property
    def pid(self) -> int | None:
        """Return the process id, or None where it does not run."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start it, and return when it listens."""
        command = program()
        if command is None:
            raise FileNotFoundError(MISSING)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [command, str(self.directory / "pgbouncer.ini")], stderr=log
            )
        wait_for(lambda: "process up" in self.log.read_text(), "PgBouncer")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it. SIGTERM closes all connections at once, SIGINT waits for transactions."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(timeout=20)
            self._process = None
            self.log.unlink()

    def remove(self) -> None:
        """Remove its files."""
        shutil.rmtree(self.directory)


@contextmanager
def pgbouncer(database_url: str, pool_size: int, **settings: str) -> Iterator[PgBouncer]:
    """Run a PgBouncer for the block."""
    one = PgBouncer(database_url, pool_size, port=0, **settings)
    try:
        one.start()
        yield one
    finally:
        one.stop()
        one.remove()
