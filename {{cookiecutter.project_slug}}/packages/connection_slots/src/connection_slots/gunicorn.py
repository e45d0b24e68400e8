"""Hooks for gunicorn.conf.py: from connection_slots.gunicorn import on_starting, ...

This module is imported by gunicorn's master, which must hold no connection, and must not import a
driver or Django before the workers are monkey-patched. So Django is imported inside the hooks that
run in workers, and the checks run in a process of their own.
"""

import errno
import os
import shlex
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gunicorn.arbiter import Arbiter
    from gunicorn.config import Config
    from gunicorn.workers.base import Worker

CHECK_TIMEOUT = 60  # seconds for `manage.py check`, which takes less than one
RELOAD_TAKES = 1.0  # seconds, at most, from on_reload to the end of a reload without new workers
WORKER_BOOT_ERROR = 3  # gunicorn.arbiter.Arbiter.WORKER_BOOT_ERROR: stop, do not try again


def on_starting(server: "Arbiter") -> None:
    """Refuse to start, with one message, what would let connections grow without bound."""
    if problem := port_problem(server.cfg) or check_problem(server.cfg):
        sys.exit(f"gunicorn does not start: {problem}")


def on_reload(server: "Arbiter") -> None:
    """Run the checks again. If they fail, keep the old workers and start no new ones.

    A hook cannot end a reload. So for its rest, the configuration asks for no new workers and for
    no patience with the old ones, of which gunicorn would otherwise wait for the end.
    """
    problem = check_problem(server.cfg)
    if problem is None:
        return
    server.log.critical("gunicorn does not reload, and the old workers go on: %s", problem)
    for name in ("workers", "graceful_timeout"):
        restore = threading.Timer(RELOAD_TAKES, server.cfg.set, (name, getattr(server.cfg, name)))
        restore.daemon = True
        restore.start()
        server.cfg.set(name, 0)


def post_worker_init(worker: "Worker") -> None:
    """Install the slots. Refuse to serve with a driver that blocks the whole worker."""
    from django.core.exceptions import ImproperlyConfigured
    from django.db.backends.postgresql.psycopg_any import is_psycopg3

    from connection_slots import concurrency, slots

    try:
        slots.install()
    except ImproperlyConfigured as error:
        _refuse_to_serve(worker, str(error))
    if problem := concurrency.current().driver_problem(is_psycopg3):
        driver = "psycopg" if is_psycopg3 else "psycopg2"
        _refuse_to_serve(worker, f"{driver} blocks the whole worker while it waits: {problem}")


def pre_request(worker: "Worker", req: Any) -> None:
    """Mark the thread or greenlet as one that serves a request."""
    from connection_slots import slots

    slots.begin_request()


def post_request(worker: "Worker", req: Any, environ: Any, resp: Any) -> None:
    """Give up the slot that the request still has."""
    from connection_slots import slots

    slots.end_request()


def check_problem(cfg: "Config") -> str | None:
    """Return what `manage.py check` says about the settings and the effective configuration."""
    # The checks read GUNICORN_CMD_ARGS: it gets what this process was told on its command line.
    arguments = ["--config", str(cfg.config), "--worker-class", cfg.worker_class_str]
    if cfg.preload_app:
        arguments.append("--preload")
    given = f"{os.environ.get('GUNICORN_CMD_ARGS', '')} {shlex.join(arguments)}"
    try:
        check = subprocess.run(
            [sys.executable, "manage.py", "check"],
            cwd=cfg.chdir,
            env=os.environ | {"GUNICORN_CMD_ARGS": given},
            capture_output=True,
            text=True,
            timeout=CHECK_TIMEOUT,
        )
    except subprocess.TimeoutExpired:
        return f"`manage.py check` took longer than {CHECK_TIMEOUT} s"
    return check.stderr.strip() if check.returncode else None


def port_problem(cfg: "Config") -> str | None:
    """Return which port is in use. gunicorn by itself would try for five seconds."""
    if "GUNICORN_FD" in os.environ or "LISTEN_FDS" in os.environ:
        return None  # the sockets are inherited
    for address in cfg.address:
        if not isinstance(address, tuple):
            continue
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(address)
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    return f"port {address[1]} is in use. Set PORT, or stop what listens there."
    return None


def _refuse_to_serve(worker: "Worker", problem: str) -> None:
    worker.log.critical("gunicorn does not serve: %s", problem)
    sys.exit(WORKER_BOOT_ERROR)
