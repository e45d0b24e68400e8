"""pool.py: never more slots held than there are, waiters in order, and no slot lost."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from connection_slots import concurrency
from connection_slots.errors import SlotTimeout
from connection_slots.pool import Owner, Slot, SlotPool
from tests.package.slots.conftest import wait_for


class Resource:
    """A resource that notes what the pool does with it."""

    def __init__(self, *, may_change_owner: bool = True) -> None:
        self.pristine = may_change_owner
        self.detached = 0

    def may_change_owner(self) -> bool:
        return self.pristine

    def detach(self) -> None:
        self.detached += 1


def new_pool(size: int, timeout: float = 5.0) -> SlotPool[Any]:
    return SlotPool(size, timeout, concurrency.current())


def acquired(pool: SlotPool[Any]) -> Owner[Any]:
    owner: Owner[Any] = Owner()
    pool.acquire(owner)
    return owner


class Thread:
    """A thread that acquires a slot and keeps it until it is told to give it up."""

    def __init__(self, pool: SlotPool[Any]) -> None:
        self.owner: Owner[Any] = Owner()
        self.error: BaseException | None = None
        self.go = threading.Event()
        self.acquired = threading.Event()
        self.thread = threading.Thread(target=self._run, args=[pool], daemon=True)
        self.thread.start()

    def _run(self, pool: SlotPool[Any]) -> None:
        try:
            pool.acquire(self.owner)
        except SlotTimeout as error:
            self.error = error
            return
        self.acquired.set()
        self.go.wait(20)
        pool.give_up(self.owner)

    def finish(self) -> None:
        self.go.set()
        self.thread.join(20)


@pytest.fixture
def threads() -> Iterator[list[Thread]]:
    started: list[Thread] = []
    yield started
    for thread in started:
        thread.finish()


def test_no_more_slots_than_there_are() -> None:
    pool = new_pool(3)
    held: list[int] = []

    def use() -> None:
        owner: Owner[Any] = Owner()
        for _ in range(25):
            pool.acquire(owner)
            held.append(pool.counts()["held"])
            time.sleep(0.0005)
            pool.give_up(owner)

    workers = [threading.Thread(target=use) for _ in range(20)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert len(held) == 500
    assert max(held) <= 3
    assert pool.counts() == {"free": 3, "idle": 0, "held": 0, "waiting": 0}


def test_slot_used_last_comes_first() -> None:
    pool = new_pool(3)
    first, second = acquired(pool), acquired(pool)
    slot = first.slot
    pool.give_up(second)
    pool.give_up(first)
    assert acquired(pool).slot is slot


def test_owner_finds_its_idle_slot_again() -> None:
    pool = new_pool(2)
    owner = acquired(pool)
    slot = owner.slot
    pool.release(owner)
    pool.acquire(owner)
    assert owner.slot is slot


def test_acquire_times_out() -> None:
    pool = new_pool(1, timeout=0.05)
    owner = acquired(pool)
    with pytest.raises(SlotTimeout, match="all 1 database slots of this worker stayed in use"):
        pool.acquire(Owner())
    assert pool.counts()["waiting"] == 0
    pool.give_up(owner)
    assert acquired(pool).slot is not None


def test_waiters_come_in_order_and_before_newcomers(threads: list[Thread]) -> None:
    pool = new_pool(1)
    holder = acquired(pool)
    for number in range(8):
        threads.append(Thread(pool))
        wait_for(lambda n=number: pool.counts()["waiting"] == n + 1, "the thread to wait")  # type: ignore[misc]
    pool.give_up(holder)
    for number, thread in enumerate(threads):
        assert thread.acquired.wait(10), number
        assert not any(later.acquired.is_set() for later in threads[number + 1 :])
        thread.go.set()


def test_idle_slot_is_taken_over_after_its_grace_period(threads: list[Thread]) -> None:
    pool = new_pool(1)
    owner = acquired(pool)
    resource = Resource()
    slot: Slot[Any] | None = owner.slot
    assert slot is not None
    slot.resources["a"] = resource
    owner.grace = 0.5
    began = time.monotonic()
    pool.release(owner)
    threads.append(Thread(pool))
    assert threads[0].acquired.wait(10)
    assert time.monotonic() - began >= 0.5
    assert resource.detached == 1
    assert owner.slot is None
    assert threads[0].owner.slot is slot


def test_owner_in_use_loses_nothing(threads: list[Thread]) -> None:
    pool = new_pool(1)
    owner = acquired(pool)
    owner.grace = 1.0
    threads.append(Thread(pool))
    wait_for(lambda: pool.counts()["waiting"] == 1, "the thread to wait")
    for _ in range(50):
        pool.release(owner)
        pool.acquire(owner)
        time.sleep(0.0005)
    assert not threads[0].acquired.is_set()
    pool.give_up(owner)


def test_changed_resource_is_not_taken_over() -> None:
    pool = new_pool(1, timeout=0.1)
    owner = acquired(pool)
    assert owner.slot is not None
    owner.slot.resources["a"] = Resource(may_change_owner=False)
    pool.release(owner)
    with pytest.raises(SlotTimeout):
        pool.acquire(Owner())
    pool.acquire(owner)


@pytest.mark.parametrize("releases", [False, True], ids=["holds it", "releases it again"])
def test_owner_that_is_faster_keeps_its_slot(releases: bool) -> None:
    """The owner takes its slot back while a waiter has chosen it already."""
    pool = new_pool(1, timeout=0.1)
    owner = acquired(pool)
    slot = owner.slot
    assert slot is not None

    class Racing(Resource):
        def may_change_owner(self) -> bool:
            if pool.claim(owner) and releases:
                pool.release(owner)
            return True

    slot.resources["a"] = racing = Racing()
    owner.grace = 0.0
    pool.release(owner)
    with pytest.raises(SlotTimeout):
        pool.acquire(Owner())
    assert owner.slot is slot
    assert racing.detached == 0


def test_idle_slot_is_soon_taken_over() -> None:
    pool = new_pool(1, timeout=60)
    owner = acquired(pool)

    def seconds() -> float:
        nonlocal owner
        pool.release(owner)
        began = time.monotonic()
        owner = acquired(pool)
        return time.monotonic() - began

    assert any(seconds() < 0.1 for _ in range(10))  # in one of them while the machine is free


def test_give_up_never_waits_for_the_lock() -> None:
    """A finalizer may run inside the thread that has the lock."""
    pool = new_pool(1)
    owner = acquired(pool)
    with pool._lock:
        pool.give_up(owner)
    assert acquired(pool).slot is not None


def test_give_up_under_the_lock_still_serves_the_waiter(threads: list[Thread]) -> None:
    pool = new_pool(1)
    owner = acquired(pool)
    threads.append(Thread(pool))
    wait_for(lambda: pool.counts()["waiting"] == 1, "the thread to wait")
    with pool._lock:
        pool.give_up(owner)
    assert threads[0].acquired.wait(10)


def test_waiter_that_is_killed_takes_no_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = new_pool(1)
    owner = acquired(pool)

    class Killed(BaseException):
        """What a greenlet gets that is killed while it waits."""

    class Doomed:
        def wait(self, timeout: float) -> None:
            pool.give_up(owner)  # the slot is given to this waiter while it is being killed
            raise Killed

        def wake(self) -> None:
            pass

    monkeypatch.setattr(pool._concurrency, "new_waiter", Doomed)
    with pytest.raises(Killed):
        pool.acquire(Owner())
    assert pool.counts() == {"free": 1, "idle": 0, "held": 0, "waiting": 0}
