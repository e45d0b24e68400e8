"""Choose the primitives that fit how this process runs: threads, gevent or eventlet."""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol, cast

from connection_slots.pool import Waiter


class Primitives(Protocol):
    """The interface of the modules of this package. It includes pool.Concurrency."""

    __name__: str

    @staticmethod
    def new_waiter() -> Waiter:
        """Return a waiter for the calling thread or greenlet."""

    @staticmethod
    def call_repeatedly(function: Callable[[], float | None]) -> Callable[[], None]:
        """Return a function that starts to call `function` until it returns None."""

    @staticmethod
    def new_poll() -> Any:
        """Return a `select.poll` object that does not switch to another greenlet."""

    @staticmethod
    def connect_timeout(seconds: float, error: Exception) -> AbstractContextManager[object]:
        """Raise `error` if the block takes longer, where the driver itself would not notice."""

    @staticmethod
    def driver_problem(is_psycopg3: bool) -> str | None:
        """Return why the driver would block the whole worker, or None if it yields."""


def current() -> Primitives:
    """Return the primitives for this process. It has to be monkey-patched before the call."""
    if _gevent_patched():
        from connection_slots.concurrency import gevent

        return cast(Primitives, gevent)
    if _eventlet_patched():
        from connection_slots.concurrency import eventlet

        return cast(Primitives, eventlet)
    from connection_slots.concurrency import threads

    return cast(Primitives, threads)


def _gevent_patched() -> bool:
    if "gevent.monkey" not in sys.modules:
        return False
    from gevent import monkey

    return bool(monkey.is_module_patched("threading"))


def _eventlet_patched() -> bool:
    if "eventlet.patcher" not in sys.modules:
        return False
    from eventlet import patcher

    return bool(patcher.is_monkey_patched("thread"))
