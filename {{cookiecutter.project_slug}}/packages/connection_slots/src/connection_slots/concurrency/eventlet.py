"""Primitives for eventlet's green threads."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from eventlet import Timeout, patcher
from eventlet.hubs import get_hub

from connection_slots.concurrency.threads import call, new_waiter

__all__ = [
    "call_repeatedly",
    "connect_timeout",
    "driver_problem",
    "new_poll",
    "new_waiter",
]


def call_repeatedly(function: Callable[[], float | None]) -> Callable[[], None]:
    """Return a function that starts to call `function` on the hub: it must not switch."""
    armed = False

    def run() -> None:
        nonlocal armed
        armed = False
        if (seconds := call(function)) is not None:
            start(seconds)

    def start(seconds: float = 0.001) -> None:
        nonlocal armed
        if not armed:
            armed = True
            get_hub().schedule_call_global(seconds, run)

    return start


def new_poll() -> Any:
    """Return the unpatched poll, which eventlet removes from `select`."""
    return patcher.original("select").poll()


def connect_timeout(seconds: float, error: Exception) -> AbstractContextManager[object]:
    """Raise `error` after `seconds`: psycogreen ignores connect_timeout (psycogreen issue 2)."""
    timeout: AbstractContextManager[object] = Timeout(seconds, error)
    return timeout


def driver_problem(is_psycopg3: bool) -> str | None:
    """Return why the driver would block the whole worker, or None if it yields."""
    if is_psycopg3:
        return (
            "psycopg 3 does not support eventlet, and Django prefers it to psycopg2 whenever it "
            "is installed; uninstall psycopg"
        )
    from psycopg2.extensions import get_wait_callback

    if get_wait_callback() is None:
        return "post_fork in gunicorn.conf.py has to call psycogreen.eventlet.patch_psycopg()"
    return None
