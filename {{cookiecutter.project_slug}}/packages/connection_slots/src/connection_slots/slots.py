"""The slots of this process: install them, end a request, hold one.

Without install() there are no slots, and the backend behaves as Django's: so it is for commands,
background workers and tests.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import local
from typing import TYPE_CHECKING, Any, cast

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, connections
from django.utils.asyncio import async_unsafe

from connection_slots import concurrency
from connection_slots.pool import GRACE, SlotPool
from connection_slots.pool import Owner as PoolOwner

if TYPE_CHECKING:
    from connection_slots.backend.base import SlotsMixin
    from connection_slots.backend.session import Session

    Pool = SlotPool[Session]
    _Owner = PoolOwner[Session]
else:
    _Owner = PoolOwner

# The pool of this process, or None while slots are not installed.
pool: "Pool | None" = None

# Send DISCARD ALL to a session whenever its owner changes (DATABASE_DISCARD_ALL).
discards = False


class Owner(_Owner):
    """A thread or greenlet, with the wrappers that it has used since its request began."""

    __slots__ = ("holders", "sequence_advanced", "sequence_lost", "serving", "used")

    def __init__(self) -> None:
        super().__init__()
        self.holders = 0  # wrappers that hold the slot: one for each alias in use
        self.used: set[SlotsMixin] = set()
        self.serving = False  # True during a request
        self.sequence_advanced = False
        self.sequence_lost = False  # the session of the last INSERT belongs to another owner

    def slot_lost(self) -> None:
        """Remember that currval() would now answer for another session."""
        self.sequence_lost = self.sequence_advanced

    def reset(self) -> None:
        """Begin anew: nothing is held and nothing was used."""
        self.holders = 0
        self.used.clear()
        self.grace = GRACE
        self.serving = self.sequence_advanced = self.sequence_lost = False


class _EndOfThread:
    """Ends what its thread or greenlet leaves open, when the thread's local storage is freed.

    eventlet frees it when the next green thread uses its own storage.
    """

    __slots__ = ("owner",)

    def __init__(self, owner: Owner) -> None:
        self.owner = owner

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        if not is_finalizing():
            end_request(self.owner)


_thread = local()  # `end`: the _EndOfThread of the thread or greenlet


def current_owner() -> Owner:
    """Return the owner that stands for the calling thread or greenlet."""
    try:
        return cast(Owner, _thread.end.owner)
    except AttributeError:
        _thread.end = _EndOfThread(Owner())
        return cast(Owner, _thread.end.owner)


def install() -> None:
    """Install DATABASE_SLOTS slots in this process. Call it once, after Django is set up.

    Raises ImproperlyConfigured if slots are installed already, or if a PostgreSQL database has
    another ENGINE or Django's pool.
    """
    global pool, discards
    if pool is not None:
        raise ImproperlyConfigured(
            "connection_slots.slots.install() was called twice in this process: call it once"
        )
    for problem in [*engine_problems(), *pool_problems()]:
        raise ImproperlyConfigured(problem)
    connections.close_all()
    discards = bool(getattr(settings, "DATABASE_DISCARD_ALL", False))
    pool = _new_pool()
    if not _registered:
        os.register_at_fork(after_in_child=_forget_parent)
        _registered.append(True)


_registered: list[bool] = []


def uninstall() -> None:
    """Close all sessions and remove the slots: for tests that install them."""
    global pool
    end_request()
    old, pool = pool, None
    if old is not None:
        for slot in old.slots:
            for session in list(slot.resources.values()):
                session.detach()
                session.close()


def installed() -> bool:
    """Return True if this process has slots."""
    return pool is not None


def engine_problems() -> Iterator[str]:
    """Yield a sentence for each PostgreSQL database that slots cannot bound."""
    from connection_slots.backend.base import SlotsMixin

    for alias in connections:
        connection = connections[alias]
        if connection.vendor == "postgresql" and not isinstance(connection, SlotsMixin):
            yield (
                f'DATABASES["{alias}"] has the ENGINE {connection.settings_dict["ENGINE"]}, whose '
                'connections are not bounded: set it to "connection_slots.backend"'
            )


def pool_problems() -> Iterator[str]:
    """Yield a sentence for each database that has Django's pool beside slots."""
    for alias, database in connections.settings.items():
        if database.get("OPTIONS", {}).get("pool"):
            yield f'DATABASES["{alias}"] has OPTIONS["pool"], and slots are a pool: remove it'


def begin_request() -> None:
    """Mark the calling thread or greenlet as one that serves a request."""
    current_owner().serving = True


def end_request(owner: Owner | None = None) -> None:
    """Give up the slot of `owner`, by default the caller's, in whatever state its request left it.

    A connection that is in a transaction, has an open cursor or a changed session is closed.
    Never waits. The owner's own thread must not be using the database at the same time.
    """
    if owner is None:
        owner = current_owner()
    now = pool
    if now is None or now.pid != os.getpid():
        owner.reset()
        return
    used, shared = list(owner.used), set()
    for wrapper in used:
        wrapper.pin()
    has_slot = owner.holders > 0 or now.claim(owner) or now.reclaim(owner, blocking=False)
    try:
        for wrapper in used:
            if not wrapper.end_request(has_slot):
                shared.add(wrapper)
    finally:
        owner.reset()
        if shared:
            _keep_shared(now, owner, shared, has_slot)
        elif has_slot:
            now.give_up(owner)


def _keep_shared(pool: "Pool", owner: Owner, shared: "set[SlotsMixin]", has_slot: bool) -> None:
    """Leave the slot to wrappers that other threads share, until they share them no more."""
    owner.used |= shared
    owner.holders = sum(wrapper.holds_slot for wrapper in shared)
    if has_slot and not owner.holders:
        pool.release(owner)


@async_unsafe
@contextmanager
def hold(using: str = DEFAULT_DB_ALIAS) -> Iterator[Any]:
    """Hold the slot for the block, and yield the driver connection.

    For code that uses the driver connection directly, such as LISTEN or COPY with psycopg. The
    end of the request ends it. Raises RuntimeError outside a request.
    """
    if pool is None or not current_owner().serving:
        raise RuntimeError(
            "hold() works only while gunicorn serves a request: elsewhere the connection belongs "
            "to the thread, or use transaction.atomic()"
        )
    connection = cast("SlotsMixin", connections[using])
    with connection.hold() as raw:
        yield raw


def _new_pool() -> "Pool":
    return SlotPool(
        settings.DATABASE_SLOTS,
        getattr(settings, "DATABASE_SLOT_TIMEOUT", 5.0),
        concurrency.current(),
    )


def _forget_parent() -> None:
    """In a forked child: leave the parent's connections alone, and begin with empty slots."""
    global pool
    if pool is None:
        return
    pool = _new_pool()
    owner = current_owner()
    for wrapper in list(owner.used):
        wrapper.forget_parent()
    owner.slot = None
    owner.reset()
