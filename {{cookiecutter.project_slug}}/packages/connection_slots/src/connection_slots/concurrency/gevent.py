"""Primitives for gevent's greenlets."""

import select
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import gevent
import gevent.hub
from gevent import monkey

from connection_slots.concurrency.threads import call

_true_poll = monkey.get_original("select", "poll")


class GreenletWaiter:
    """A waiter on gevent's hub. A patched lock would do, at several times the cost."""

    __slots__ = ("_hub", "_waiter", "_woken")

    def __init__(self) -> None:
        self._waiter = gevent.hub.Waiter()
        self._hub = self._waiter.hub
        self._woken = False

    def wait(self, timeout: float) -> None:
        """Return after wake(), or after `timeout` seconds."""
        if self._woken:
            return
        timer = self._hub.loop.timer(timeout)
        timer.start(self._waiter.switch, None)
        try:
            self._waiter.get()
        finally:
            timer.close()

    def wake(self) -> None:
        """End wait(), from any greenlet, from another thread, and from a finalizer."""
        self._woken = True
        if self._hub is gevent.get_hub():
            self._hub.loop.run_callback(self._waiter.switch, None)
        else:
            self._hub.loop.run_callback_threadsafe(self._waiter.switch, None)


new_waiter = GreenletWaiter


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
            timer = gevent.get_hub().loop.timer(seconds)
            timer.start(_run_and_close, timer, run)

    return start


def _run_and_close(timer: Any, run: Callable[[], None]) -> None:
    timer.close()
    run()


def new_poll() -> Any:
    """Return the unpatched poll: a look at a socket needs no visit to the event loop."""
    return _true_poll()


def connect_timeout(seconds: float, error: Exception) -> AbstractContextManager[object]:
    """Raise `error` after `seconds`: psycogreen ignores connect_timeout (psycogreen issue 2)."""
    timeout: AbstractContextManager[object] = gevent.Timeout(seconds, error)
    return timeout


def driver_problem(is_psycopg3: bool) -> str | None:
    """Return why the driver would block the whole worker, or None if it yields."""
    if is_psycopg3:
        from psycopg import waiting

        # psycopg chooses its wait function when it is imported, and the one in C blocks:
        # https://www.psycopg.org/psycopg3/docs/advanced/async.html#gevent-support
        if hasattr(select, "poll") and waiting.wait is getattr(waiting, "wait_c", None):
            return (
                "psycopg was imported before gunicorn's monkey-patching; "
                "import nothing that uses it earlier"
            )
        return None
    from psycopg2.extensions import get_wait_callback

    if get_wait_callback() is None:
        return "post_fork in gunicorn.conf.py has to call psycogreen.gevent.patch_psycopg()"
    return None
