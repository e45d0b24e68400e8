"""What gunicorn asks before it opens its port: would this start, and would it stay bounded?

Nothing of Django is imported here: this runs in gunicorn's master, which must hold no
connection{% if cookiecutter.__green %} and must not import a driver before the workers are monkey-patched{% endif %}.
"""

import errno
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

from database import WORKER_CLASS

if TYPE_CHECKING:
    from gunicorn.config import Config

DEADLINE = 60  # seconds for `manage.py check`; it takes less than one


def refuse_unless_sound(cfg: "Config"{% if cookiecutter.worker_class == 'gthread' %}, slots: int{% endif %}) -> None:
    """End the process, with one message, when `cfg` or the settings could leak connections."""
    for problem in problems(cfg{% if cookiecutter.worker_class == 'gthread' %}, slots{% endif %}):
        sys.exit(f"gunicorn does not start: {problem}")
    check = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=cfg.chdir,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    if check.returncode:
        sys.exit(f"gunicorn does not start: {check.stderr.strip()}")


def problems(cfg: "Config"{% if cookiecutter.worker_class == 'gthread' %}, slots: int{% endif %}) -> list[str]:
    """What the effective configuration, command line included, has wrong."""
    found = []
    if cfg.worker_class_str != WORKER_CLASS:
        found.append(
            f"this project is wired for the {WORKER_CLASS} worker class, "
            f"not {cfg.worker_class_str}. Remove -k, --worker-class and --threads from the "
            "command line and from GUNICORN_CMD_ARGS."
        )
    if cfg.preload_app:
        found.append(
            "preload_app loads the application before the fork, and a connection opened there "
            "would be shared by all workers. Remove --preload."
        )
{% if cookiecutter.worker_class == 'gthread' %}
    if cfg.threads != slots:
        found.append(
            f"{cfg.threads} threads would open as many connections, and DATABASE_SLOTS says "
            f"{slots}. Remove --threads: DATABASE_SLOTS sets them."
        )
{% endif %}
    return found + [problem for address in cfg.address for problem in _taken(address)]


def _taken(address: object) -> list[str]:
    """Whether another process listens there. gunicorn itself would try for five seconds."""
    inherited = "GUNICORN_FD" in os.environ or "LISTEN_FDS" in os.environ
    if inherited or not isinstance(address, tuple):
        return []
    with socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return [f"port {address[1]} is in use. Set PORT, or stop what listens there."]
    return []
