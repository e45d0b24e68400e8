"""Whatever borrowers do, in whatever order: never more than N lent, none lost, waiters in order.

The borrowers are what threads are in this project: threads, or greenlets after monkey-patching.
"""

import queue
import threading
import time
from collections import deque
from typing import Any
from unittest import mock

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from database.slots import Lease, Slots, SlotTimeout, Waiter

DEADLINE = 10.0


class Killed(BaseException):
    """What a greenlet gets that is killed while it waits."""


class Borrower:
    """A thread or greenlet that does what it is told: borrow, give back, end."""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self.lease: Lease | None = None
        self.failure: BaseException | None = None
        self.told: queue.Queue[str] = queue.Queue()
        self.thread = threading.Thread(target=self._live, daemon=True)
        self.thread.start()

    def _live(self) -> None:
        own = threading.local()
        try:
            own.lease = Lease(self.slots)
        except SlotTimeout as failure:
            self.failure = failure
            return
        self.lease = own.lease
        if self.told.get() == "give back":
            own.lease.end()
        else:  # ends with its owner, when nobody refers to it
            self.lease = None

    def end(self, how: str) -> None:
        self.told.put(how)
        self.thread.join(DEADLINE)
        assert not self.thread.is_alive()
        self.lease = None


class Lending(RuleBasedStateMachine):
    """The model: who holds a slot, and who waits in which order."""

    @initialize(size=st.integers(1, 3))
    def begin(self, size: int) -> None:
        self.slots = Slots(size, timeout=DEADLINE)
        self.holders: list[Borrower] = []
        self.waiters: deque[Borrower] = deque()

    @rule()
    def borrow(self) -> None:
        borrower = Borrower(self.slots)
        if len(self.holders) < self.slots.size:
            self.until(lambda: borrower.lease is not None)
            self.holders.append(borrower)
        else:
            self.waiters.append(borrower)
            self.until(lambda: len(self.slots._waiters) == len(self.waiters))

    @precondition(lambda self: self.holders)
    @rule(which=st.integers(0, 100), how=st.sampled_from(["give back", "die"]))
    def release(self, which: int, how: str) -> None:
        self.holders.pop(which % len(self.holders)).end(how)
        if self.waiters:
            first = self.waiters.popleft()
            self.until(lambda: first.lease is not None)
            self.holders.append(first)

    @precondition(lambda self: len(self.holders) == self.slots.size)
    @rule()
    def time_out(self) -> None:
        """Somebody impatient queues up behind the others, and goes."""
        patience, self.slots.timeout = self.slots.timeout, 0.001
        impatient = Borrower(self.slots)
        impatient.thread.join(DEADLINE)
        self.slots.timeout = patience
        assert isinstance(impatient.failure, SlotTimeout)

    @precondition(lambda self: len(self.holders) == self.slots.size)
    @rule()
    def be_killed_while_waiting(self) -> None:
        """As a greenlet at gunicorn's graceful timeout: the wait itself raises."""
        with mock.patch("database.slots.Waiter", Doomed), pytest.raises(Killed):
            Lease(self.slots)

    @rule()
    def fail_while_holding(self) -> None:
        """The lock's holder is interrupted by a finalizer that gives back."""
        if self.holders:
            with self.slots._lock:
                self.holders.pop().end("die")
            self.slots._settle()
            if self.waiters:
                first = self.waiters.popleft()
                self.until(lambda: first.lease is not None)
                self.holders.append(first)

    @invariant()
    def the_model_holds(self) -> None:
        if not hasattr(self, "holders"):
            return
        assert self.slots.lent == len(self.holders) <= self.slots.size
        assert len(self.slots._waiters) == len(self.waiters)
        lent = [id(holder.lease.slot) for holder in self.holders if holder.lease]
        assert len(set(lent)) == len(self.holders)

    def teardown(self) -> None:
        while getattr(self, "holders", None):
            self.release(0, "give back")

    @staticmethod
    def until(condition: Any) -> None:
        give_up = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < give_up
            time.sleep(0.0005)


class Doomed(Waiter):
    """Is killed as soon as it waits."""

    def wait(self, timeout: float) -> None:
        raise Killed

    def serve(self, slot: Any) -> None:
        raise AssertionError("a killed waiter was served")


TestLending = Lending.TestCase
TestLending.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_a_crowd_of_borrowers_without_a_plan() -> None:
    """Real interleavings: what is counted must come out even."""
    slots = Slots(3, timeout=0.02)
    most = [0]
    outcomes = []

    def live() -> None:
        for _ in range(50):
            try:
                lease = Lease(slots)
            except SlotTimeout:
                outcomes.append("timed out")
                continue
            most[0] = max(most[0], slots.lent)
            time.sleep(0.0005)
            if len(outcomes) % 2:
                lease.end()
            del lease  # or ends here
            outcomes.append("held")

    threads = [threading.Thread(target=live) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(outcomes) == 30 * 50
    assert {"held", "timed out"} >= set(outcomes)
    assert most[0] == 3
    assert slots.lent == 0
    assert not slots._waiters
