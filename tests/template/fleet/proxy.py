"""Run a real HAProxy in front of the instances, and tell which of them it uses."""

import csv
import os
import shutil
import socket
import subprocess
from pathlib import Path

from connection_slots.testing.server import wait_for

MISSING = "HAProxy is not installed"
DEADLINE = 30.0  # seconds for HAProxy to start or to stop

# The check is that of the Kubernetes manifest: it waits for a slot as long as a request does. A
# request is sent again only where no connection came about, so no request runs twice.
CONFIGURATION = """\
global
    log stdout format raw daemon
    stats socket {socket} mode 600 level operator

defaults
    mode http
    log global
    option httplog
    option dontlog-normal
    timeout connect 2s
    timeout client 70s
    timeout server 70s
    timeout check 8s
    retries 3
    option redispatch 1
    retry-on conn-failure
    option httpchk
    http-check send meth GET uri /readyz ver HTTP/1.1 hdr Host 127.0.0.1
    http-check expect status 200
    default-server check inter 1s fall 2 rise 1

listen service
    bind 127.0.0.1:{port}
    balance roundrobin
{servers}
"""


def program() -> str | None:
    """Return the path of HAProxy, or None. Debian has it in /usr/sbin."""
    return shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")


class HAProxy:
    """One HAProxy on loopback. `port` is where clients send their requests."""

    def __init__(self, port: int, servers: dict[str, int], directory: Path) -> None:
        """Configure it for `servers`, ports by name. start() starts it."""
        self.port = port
        self._socket = directory / "haproxy.sock"
        self._configuration = directory / "haproxy.cfg"
        self._log = directory / "haproxy.log"
        self._process: subprocess.Popen[bytes] | None = None
        lines = [f"    server {name} 127.0.0.1:{port}" for name, port in servers.items()]
        text = CONFIGURATION.format(socket=self._socket, port=port, servers="\n".join(lines))
        self._configuration.write_text(text)

    def start(self) -> None:
        """Start it, and return when it answers. Raises AssertionError with its log if it ends."""
        command = program()
        assert command is not None, MISSING
        with self._log.open("ab") as log:
            self._process = process = subprocess.Popen(
                [command, "-db", "-f", self._configuration],
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C of a terminal reaches the command only
            )

        def answers() -> bool:
            assert process.poll() is None, self._log.read_text()
            try:
                return bool(self.statuses())
            except OSError:
                return False

        wait_for(answers, "HAProxy", DEADLINE)

    def statuses(self) -> dict[str, str]:
        """Return the status of each server by name: "UP", "DOWN", or on its way between them."""
        with socket.socket(socket.AF_UNIX) as console:
            console.settimeout(DEADLINE)
            console.connect(str(self._socket))
            console.sendall(b"show stat\n")
            with console.makefile() as answer:
                rows = list(csv.DictReader(answer))
        totals = "FRONTEND", "BACKEND"
        return {row["svname"]: row["status"] for row in rows if row["svname"] not in totals}

    def uses(self, name: str) -> bool:
        """Return True unless HAProxy has taken the server out."""
        return not self.statuses()[name].startswith("DOWN")

    def stop(self) -> None:
        """End it, and the requests that it carries."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(DEADLINE)
            finally:
                self._process.kill()
                self._process.wait()
                self._process = None
