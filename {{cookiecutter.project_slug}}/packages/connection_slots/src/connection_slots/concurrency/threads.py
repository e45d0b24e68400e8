"""Primitives for OS threads."""

import logging
import select
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

logger = logging.getLogger("connection_slots")


class ThreadWaiter:
    """A lock that is acquired twice: the second time, wake() has to come first."""

    __slots__ = ("_woken",)

    def __init__(self) -> None:
        self._woken = threading.Lock()
        self._woken.acquire()

    def wait(self, timeout: float) -> None:
        """Return after wake(), or after `timeout` seconds."""
        self._woken.acquire(timeout=timeout)

    def wake(self) -> None:
        """End wait()."""
        self._woken.release()


new_waiter = ThreadWaiter


def call(function: Callable[[], float | None]) -> float | None:
    """Call `function`. After an exception, which is logged, call it again in a second."""
    try:
        return function()
    except Exception:
        logger.exception("the pool could not look for idle slots")
        return 1.0


def call_repeatedly(function: Callable[[], float | None]) -> Callable[[], None]:
    """Return a function that starts to call `function` on a daemon thread of its own."""
    wanted = threading.Event()
    thread: list[threading.Thread] = []

    def run() -> None:
        while True:
            wanted.wait()
            wanted.clear()
            while (seconds := call(function)) is not None:
                time.sleep(seconds)

    def start() -> None:
        if not thread:
            thread.append(threading.Thread(target=run, name="connection-slots", daemon=True))
            thread[0].start()
        wanted.set()

    return start


def new_poll() -> Any:
    """Return a `select.poll` object."""
    return select.poll()


def connect_timeout(seconds: float, error: Exception) -> AbstractContextManager[object]:
    """Do nothing: both drivers obey connect_timeout on threads."""
    return nullcontext()


def driver_problem(is_psycopg3: bool) -> str | None:
    """Return None: a driver that blocks its thread blocks no other."""
    return None
