"""Own a fixed number of slots and give them to owners, first come, first served.

A slot is in one of three places:

- *free*: it belongs to nobody;
- *held*: its owner uses it, and nobody else may;
- *idle*: its owner does not use it now. The owner takes it back with one atomic dictionary
  operation, without the lock. A waiter may take it over after a grace period without use.

Slots exist from the start, so no interleaving can create one too many. Nothing here waits while
it returns a slot: a finalizer may do that at any moment, even in the thread that has the lock.
"""

import os
from collections import deque
from collections.abc import Callable
from threading import Lock
from time import monotonic
from typing import Generic, Protocol, TypeVar

from connection_slots.errors import SlotTimeout

# Seconds without use after which an idle slot may be taken over. Shorter, and OS threads that run
# many queries would queue for each other between two of them; longer, and a request that waits
# for another service would keep others waiting.
GRACE = 0.001

# Seconds until the next look for an idle slot while all of them are held.
BUSY = 0.004

R = TypeVar("R", bound="Resource")


class Resource(Protocol):
    """A resource that stays with its slot, such as a database session."""

    def may_change_owner(self) -> bool:
        """Return False while the resource carries state that its next owner must not see."""

    def detach(self) -> None:
        """Forget the owner. Called under the pool's lock, on the thread of the next owner."""


class Slot(Generic[R]):
    """A place for the resources of one owner at a time."""

    __slots__ = ("__weakref__", "idle_since", "owner", "resources")

    def __init__(self) -> None:
        self.resources: dict[str, R] = {}
        self.owner: Owner[R] | None = None
        self.idle_since = 0.0  # seconds, monotonic


class Owner(Generic[R]):
    """One thread or greenlet, as the pool sees it. It has at most one slot."""

    __slots__ = ("__weakref__", "grace", "slot")

    def __init__(self) -> None:
        self.slot: Slot[R] | None = None
        self.grace = GRACE

    def slot_lost(self) -> None:
        """React to the loss of an idle slot. Called under the pool's lock."""


class Waiter(Protocol):
    """An owner in the queue."""

    def wait(self, timeout: float) -> None:
        """Return after wake(), or after `timeout` seconds."""

    def wake(self) -> None:
        """End wait(). Safe on any thread and in a finalizer."""


class Concurrency(Protocol):
    """The primitives of threads, gevent or eventlet that the pool needs."""

    def new_waiter(self) -> Waiter:
        """Return a waiter for the calling thread or greenlet."""

    def call_repeatedly(self, function: Callable[[], float | None]) -> Callable[[], None]:
        """Return a function that starts to call `function`, each time after the seconds returned.

        It stops when `function` returns None. Starting it twice has no effect.
        """


class _Queued(Generic[R]):
    """A waiter with its owner, and the slot that it was given."""

    __slots__ = ("owner", "slot", "waiter")

    def __init__(self, owner: Owner[R], waiter: Waiter) -> None:
        self.owner = owner
        self.waiter = waiter
        self.slot: Slot[R] | None = None


class SlotPool(Generic[R]):
    """A fixed number of slots, the longest waiter first, the slot used last first."""

    def __init__(self, size: int, timeout: float, concurrency: Concurrency) -> None:
        self.size = size
        self.timeout = timeout  # seconds
        self.pid = os.getpid()
        self.slots: tuple[Slot[R], ...] = tuple(Slot() for _ in range(size))
        self._concurrency = concurrency
        self._lock = Lock()
        self._free: list[Slot[R]] = list(reversed(self.slots))
        self._idle: dict[Slot[R] | None, bool] = {}  # in the order of release; None is never in
        self._queue: deque[_Queued[R]] = deque()
        self._look_for_idle_slots = concurrency.call_repeatedly(self._serve_and_schedule)

    def acquire(self, owner: Owner[R]) -> None:
        """Give `owner` a held slot: its own if it is still idle, else a free one, else in turn.

        Raises SlotTimeout after `timeout` seconds.
        """
        if self.claim(owner) or self.reclaim(owner):
            return
        if not self._queue:
            try:
                slot = self._free.pop()
            except IndexError:
                pass
            else:
                owner.slot, slot.owner = slot, owner
                return
        self._wait_in_turn(owner)

    def claim(self, owner: Owner[R]) -> bool:
        """Hold the idle slot of `owner`, if it still has one. Return True if so. Never waits."""
        return self._idle.pop(owner.slot, False)

    def reclaim(self, owner: Owner[R], *, blocking: bool = True) -> bool:
        """Hold the slot that claim() did not find idle, if `owner` still has it. Return True if so.

        Then the waiter that was taking it over has put it back, or an exception has interrupted
        claim() or the release. Waits for the waiter, unless `blocking` is False: for a finalizer.
        """
        if owner.slot is None or not self._lock.acquire(blocking):
            return False
        try:
            self._idle.pop(owner.slot, None)
            found = owner.slot in self.slots  # and not in those of a pool before a fork
        finally:
            self._lock.release()
        if self._queue and self._free:
            self._serve()
        return found

    def release(self, owner: Owner[R]) -> None:
        """Make the held slot of `owner` idle: it keeps it until another needs it."""
        slot = owner.slot
        if slot is not None:
            slot.idle_since = monotonic()
            self._idle[slot] = True

    def give_up(self, owner: Owner[R]) -> None:
        """Give the held slot of `owner` to the longest waiter, or make it free. Never waits."""
        slot, owner.slot = owner.slot, None
        if slot is not None:
            slot.owner = None
            self._free.append(slot)
            if self._queue:
                self._serve()

    def counts(self) -> dict[str, int]:
        """Return how many slots are free, idle and held, and how many owners wait."""
        free, idle = len(self._free), len(self._idle)
        held = self.size - free - idle
        return {"free": free, "idle": idle, "held": held, "waiting": len(self._queue)}

    def _wait_in_turn(self, owner: Owner[R]) -> None:
        queued = _Queued(owner, self._concurrency.new_waiter())
        with self._lock:
            self._queue.append(queued)
        try:
            self._serve()
            if queued.slot is None:
                self._look_for_idle_slots()
                queued.waiter.wait(self.timeout)
        except BaseException:  # the greenlet was killed
            self._leave(queued)
            if queued.slot is not None:
                self.give_up(owner)
            raise
        if queued.slot is None:
            self._leave(queued)
        if queued.slot is None:
            raise SlotTimeout(
                f"all {self.size} database slots of this worker stayed in use for "
                f"{self.timeout:g} s: find the long transactions and slow queries, "
                "or raise DATABASE_SLOTS"
            )

    def _leave(self, queued: _Queued[R]) -> None:
        with self._lock:
            if queued.slot is None:
                self._queue.remove(queued)
        self._serve()

    def _serve_and_schedule(self) -> float | None:
        self._serve()
        if not self._queue:
            return None
        return GRACE if self._idle else BUSY

    def _serve(self) -> None:
        """Give free slots, and idle ones after their grace period, to those who wait longest."""
        while self._lock.acquire(blocking=False):  # else the thread that has the lock serves
            try:
                while self._queue:
                    slot = self._free_slot() or self._take_over()
                    if slot is None:
                        break
                    queued = self._queue.popleft()
                    queued.owner.slot, slot.owner = slot, queued.owner
                    queued.slot = slot
                    queued.waiter.wake()
            finally:
                self._lock.release()
            if not (self._queue and self._free):
                return

    def _free_slot(self) -> Slot[R] | None:
        try:
            return self._free.pop()
        except IndexError:
            return None

    def _take_over(self) -> Slot[R] | None:
        """Return the slot that is idle for longest, detached from its owner.

        Until the slot is out of _idle, its owner may use it at any moment: so resources are copied
        before they are asked, and a slot that was used meanwhile stays with its owner.
        """
        now = monotonic()
        for slot in list(self._idle):
            assert slot is not None  # noqa: S101
            owner, idle_since = slot.owner, slot.idle_since
            if owner is None or now - idle_since < owner.grace:
                continue
            if not all([each.may_change_owner() for each in list(slot.resources.values())]):
                continue
            if not self._idle.pop(slot, False):
                continue  # its owner was faster
            if slot.idle_since != idle_since or slot.owner is not owner:
                self._idle[slot] = True
                continue
            for resource in list(slot.resources.values()):
                resource.detach()
            owner.slot = slot.owner = None
            owner.slot_lost()
            return slot
        return None
