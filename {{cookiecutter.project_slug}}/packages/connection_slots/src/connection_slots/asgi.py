"""The ASGI application: requests run on kept threads, and end with their slot given up.

Django starts and joins a thread for each request (asgiref's ThreadSensitiveContext). Here the
context gets an executor of ours, whose thread is kept.
"""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import django
from asgiref.sync import SyncToAsync, ThreadSensitiveContext
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, connections, reset_queries

from connection_slots import slots
from connection_slots.backend.base import SlotsMixin

# scope, receive, send: https://asgi.readthedocs.io/en/stable/specs/main.html
Application = Callable[[Any, Any, Any], Awaitable[None]]

# Django's receivers that have nothing to do if all databases have slots: a request begins without
# a connection, and its end is below. Each costs a request a switch to its thread and back.
RECEIVERS = (
    (request_started, reset_queries),
    (request_started, close_old_connections),
    (request_finished, close_old_connections),
)

# Idle threads kept. A burst of requests may use more, which end with it.
KEEP = 64


# Django's middleware that has a namesake in these modules.
ON_EVENT_LOOP = {
    "connection_slots.asgi_middleware": (
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csp.ContentSecurityPolicyMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.middleware.security.SecurityMiddleware",
    ),
    "connection_slots.asgi_auth_middleware": (
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
    ),
}


def get_asgi_application() -> "SlotsApplication":
    """Set Django up, and return its application: use it in place of Django's function."""
    django.setup(set_prefix=False)
    return SlotsApplication(Handler())


class Handler(ASGIHandler):
    """Django's handler, with the middleware that needs no switch to the request's thread."""

    def load_middleware(self, is_async: bool = False) -> None:
        """Load MIDDLEWARE, with the namesakes. System checks look for the names of Django."""
        replaced = {
            name: f"{module}.{name.rpartition('.')[2]}"
            for module, names in ON_EVENT_LOOP.items()
            for name in names
        }
        if settings.CSRF_USE_SESSIONS:  # the token is in the database
            del replaced["django.middleware.csrf.CsrfViewMiddleware"]
        given = settings.MIDDLEWARE
        settings.MIDDLEWARE = [replaced.get(name, name) for name in given]
        try:
            super().load_middleware(is_async)
        finally:
            settings.MIDDLEWARE = given


class SlotsApplication:
    """An ASGI application that serves `application`, each request on a kept thread."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self._idle: list[KeptThread] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        # Where asgiref runs what belongs to no request, such as tasks with their own context.
        SyncToAsync.single_thread_executor = EndingThreads(max_workers=1)
        if all(isinstance(connections[alias], SlotsMixin) for alias in connections):
            for signal, receiver in RECEIVERS:
                signal.disconnect(receiver)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request, one websocket connection or the lifespan."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._loop.set_default_executor(EndingThreads())
        thread = self._idle.pop() if self._idle else KeptThread()
        try:
            async with RequestContext(executor=thread):
                await self.application(scope, receive, send)
        finally:
            # A cancelled request leaves its view running: the thread serves nobody else before
            # that has ended too. And a slot that is still held is given up on the thread, where a
            # finalizer could release it at the same time.
            if thread.is_idle() and not thread.holds_slot():
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


class RequestContext(ThreadSensitiveContext):
    """A context that the tasks of a request may outlive, as with Django's own handler.

    What they call then runs on the thread of what belongs to no request.
    """

    async def __aexit__(self, *error: Any) -> None:
        """Leave the context."""
        await super().__aexit__(*error)  # type: ignore[no-untyped-call]
        self._exited = False
        SyncToAsync.context_to_thread_executor[self] = SyncToAsync.single_thread_executor


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
        return super().submit(self._run, [(fn, args, kwargs)])

    def is_idle(self) -> bool:
        """Return True if all that was submitted has ended."""
        return self._submitted == self._done

    def holds_slot(self) -> bool:
        """Return True if a cursor, a transaction or a changed session was left open."""
        return self._owner is not None and self._owner.holders > 0

    def end_request(self) -> None:
        """Give up the thread's slot. Call it on the thread, or while it is idle and holds none."""
        if self._owner is not None:
            slots.end_request(self._owner)

    def reset(self) -> None:
        """Forget calls that were cancelled before they began. Nothing may be running."""
        self._submitted = self._done = 0

    def _run(self, calls: list[tuple[Callable[..., Any], Any, Any]]) -> Any:
        """Run the one call in `calls`, and drop it before the thread counts as idle.

        What is collected with it may end a cursor, which releases the slot.
        """
        if self._owner is None:
            self._owner = slots.current_owner()
        self._owner.serving = True
        fn, args, kwargs = calls.pop()
        try:
            return fn(*args, **kwargs)
        finally:
            del fn, args, kwargs
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
