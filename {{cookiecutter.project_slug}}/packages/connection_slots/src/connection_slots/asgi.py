"""The ASGI application wrapper: requests run on kept threads, and end with their slot given up.

Django starts and joins a thread for each request (asgiref's ThreadSensitiveContext). Here the
context gets an executor of ours, whose thread is kept.
"""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from asgiref.sync import SyncToAsync, ThreadSensitiveContext
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, reset_queries

from connection_slots import slots

# scope, receive, send: https://asgi.readthedocs.io/en/stable/specs/main.html
Application = Callable[[Any, Any, Any], Awaitable[None]]

# Idle threads kept. A burst of requests may use more, which end with it.
KEEP = 64


class SlotsApplication:
    """An ASGI application that serves `application`, each request on a kept thread."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self._idle: list[KeptThread] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        # Where asgiref runs what belongs to no request, such as tasks with their own context.
        SyncToAsync.single_thread_executor = EndingThreads(max_workers=1)
        # These receivers have nothing to do: a request begins without a connection, and its end
        # is below. Under ASGI each costs a request a switch to its thread and back.
        request_started.disconnect(reset_queries)
        request_started.disconnect(close_old_connections)
        request_finished.disconnect(close_old_connections)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request, one websocket connection or the lifespan."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._loop.set_default_executor(EndingThreads())
        thread = self._idle.pop() if self._idle else KeptThread()
        try:
            async with ThreadSensitiveContext(executor=thread):
                await self.application(scope, receive, send)
        finally:
            # A cancelled request leaves its view running: the thread serves nobody else before
            # that has ended too.
            if thread.is_idle():
                thread.end_request()
                self._keep(thread)
            else:
                thread.submit(thread.end_request).add_done_callback(lambda _: self._keep(thread))

    def _keep(self, thread: "KeptThread") -> None:
        thread.reset()
        if len(self._idle) < KEEP:
            self._idle.append(thread)
        else:
            thread.shutdown(wait=False)


class KeptThread(ThreadPoolExecutor):
    """One thread that knows whether it is idle."""

    def __init__(self) -> None:
        super().__init__(max_workers=1, thread_name_prefix="request")
        self._owner: slots.Owner | None = None
        self._submitted = 0  # counted on the event loop
        self._done = 0  # counted on the thread

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run `fn` on the thread."""
        self._submitted += 1
        return super().submit(self._run, fn, args, kwargs)

    def is_idle(self) -> bool:
        """Return True if all that was submitted has ended."""
        return self._submitted == self._done

    def end_request(self) -> None:
        """Give up the slot of the thread. Call it on the thread, or while that is idle."""
        if self._owner is not None:
            slots.end_request(self._owner)

    def reset(self) -> None:
        """Forget calls that were cancelled before they began. Nothing may be running."""
        self._submitted = self._done = 0

    def _run(self, fn: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        if self._owner is None:
            self._owner = slots.current_owner()
        self._owner.serving = True
        try:
            return fn(*args, **kwargs)
        finally:
            self._done += 1


class EndingThreads(ThreadPoolExecutor):
    """Threads that belong to no request, as for sync_to_async(thread_sensitive=False).

    They outlive every request, so each call gives up its slot at its end.
    """

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run `fn` on one of the threads."""
        return super().submit(_run_and_end, fn, args, kwargs)


def _run_and_end(fn: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    slots.begin_request()
    try:
        return fn(*args, **kwargs)
    finally:
        slots.end_request()
