"""Owners that interleave at random on two slots, compared with a model of who may see what."""

import random
import threading
import time
from typing import Any

import pytest
from django.db import connections, transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from connection_slots import slots
from connection_slots.errors import SlotTimeout
from tests.package.slots.conftest import Actor, ask

OWNERS = 4
SLOTS = 2


def own_connection() -> Any:
    """Return the connection object of the calling thread."""
    return connections["default"]


class Interleavings(RuleBasedStateMachine):
    """Each rule lets one owner do one thing. The model knows who holds a slot, and why."""

    def __init__(self) -> None:
        super().__init__()
        if slots.installed():
            slots.uninstall()
        slots.install()
        self.owners = [Actor() for _ in range(OWNERS)]
        self.in_transaction: dict[int, int] = {}  # owner to rows that it has inserted
        self.cursors: dict[int, Any] = {}
        self.changed: dict[int, str] = {}  # owner to the value that it has set
        self.locks: dict[int, int] = {}
        self.sequences: dict[int, int] = {}
        self.pids: dict[int, int] = {}
        self.committed = 0
        self.do(0, self._create)

    owner = st.integers(0, OWNERS - 1)

    def holders(self) -> set[int]:
        return {*self.in_transaction, *self.cursors, *self.changed, *self.locks, *self.sequences}

    def do(self, owner: int, function: Any, *arguments: Any) -> Any:
        """Let `owner` call `function`. Expect a timeout if others hold all slots."""
        all_held = owner not in self.holders() and len(self.holders()) == SLOTS
        assert slots.pool is not None
        slots.pool.timeout = 0.1 if all_held else 10.0
        outcome = self.owners[owner].start(function, *arguments)
        value, error = outcome.get(timeout=20)
        if all_held:
            assert isinstance(error, SlotTimeout), (value, error)
            return None
        if error is not None:
            raise error
        return value

    def may_act(self, owner: int) -> bool:
        return owner in self.holders() or len(self.holders()) < SLOTS

    @staticmethod
    def _create() -> None:
        ask("DROP TABLE IF EXISTS interleaved")
        ask("CREATE TABLE interleaved (id serial, owner int)")
        slots.end_request()

    @rule(owner=owner)
    def select(self, owner: int) -> None:
        pid = self.do(owner, ask)
        if pid is not None and owner in self.holders():
            assert self.pids.setdefault(owner, pid) == pid
        if pid is not None:
            others = {self.pids[o] for o in self.holders() if o != owner and o in self.pids}
            assert pid not in others

    @rule(owner=owner)
    def read_setting(self, owner: int) -> None:
        """A setting of another owner is never seen."""
        value = self.do(owner, ask, "SELECT coalesce(current_setting('probe.owner', true), '')")
        if value is not None:
            assert value == self.changed.get(owner, "")

    @rule(owner=owner)
    def change_setting(self, owner: int) -> None:
        if owner in self.in_transaction:
            return  # a rollback would undo it
        if self.may_act(owner):
            self.do(owner, ask, f"SET probe.owner = 'o{owner}'")
            self.changed[owner] = f"o{owner}"
            self._note_pid(owner)

    @rule(owner=owner)
    def begin(self, owner: int) -> None:
        if owner not in self.in_transaction and self.may_act(owner):
            self.do(owner, transaction.set_autocommit, False)
            self.in_transaction[owner] = 0
            self._note_pid(owner)

    @rule(owner=owner)
    def insert(self, owner: int) -> None:
        sql = "INSERT INTO interleaved (owner) VALUES (%s) RETURNING id"
        done = self.do(owner, ask, sql, [owner])
        if done is not None:
            if owner in self.in_transaction:
                self.in_transaction[owner] += 1
            else:
                self.committed += 1

    @rule(owner=owner)
    def count(self, owner: int) -> None:
        """What others have not committed is not seen."""
        seen = self.do(owner, ask, "SELECT count(*) FROM interleaved")
        if seen is not None:
            assert seen == self.committed + self.in_transaction.get(owner, 0)

    @precondition(lambda self: self.in_transaction)
    @rule(which=st.integers(0, 10), commit=st.booleans())
    def end_transaction(self, which: int, commit: bool) -> None:
        owner = sorted(self.in_transaction)[which % len(self.in_transaction)]
        if self.cursors.pop(owner, None):
            self.do(owner, lambda: own_connection().cursor_of_test.close())
        self.do(owner, lambda: own_connection().commit() if commit else own_connection().rollback())
        self.do(owner, transaction.set_autocommit, True)
        rows = self.in_transaction.pop(owner)
        self.committed += rows if commit else 0
        self._forget_pid(owner)

    @rule(owner=owner)
    def advisory_lock(self, owner: int) -> None:
        if self.may_act(owner) and owner not in self.in_transaction:
            self.do(owner, ask, "SELECT pg_advisory_lock(%s)", [owner])
            self.locks[owner] = 1
            self._note_pid(owner)

    @rule(owner=owner)
    def count_locks(self, owner: int) -> None:
        sql = (
            "SELECT coalesce(max(objid), -1)::int FROM pg_locks"
            " WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
        )
        seen = self.do(owner, ask, sql)
        if seen is not None:
            assert seen == (owner if owner in self.locks else -1)

    @rule(owner=owner)
    def next_value(self, owner: int) -> None:
        value = self.do(owner, ask, "SELECT nextval('interleaved_id_seq')")
        if value is not None:
            self.sequences[owner] = value
            self._note_pid(owner)

    @precondition(lambda self: self.sequences)
    @rule(which=st.integers(0, 10))
    def current_value(self, which: int) -> None:
        owner = sorted(self.sequences)[which % len(self.sequences)]
        seen = self.do(owner, ask, "SELECT currval('interleaved_id_seq')")
        assert seen >= self.sequences[owner]
        if owner not in self.in_transaction:
            assert seen == self.do(owner, ask, "SELECT lastval()")

    @rule(owner=owner)
    def open_cursor(self, owner: int) -> None:
        if owner in self.cursors or not self.may_act(owner):
            return

        def open_it() -> None:
            cursor = own_connection().chunked_cursor()
            cursor.execute("SELECT generate_series(1, 100)")
            assert cursor.fetchone() == (1,)
            own_connection().cursor_of_test = cursor

        self.do(owner, open_it)
        self.cursors[owner] = 1
        self._note_pid(owner)

    @precondition(lambda self: self.cursors)
    @rule(which=st.integers(0, 10))
    def read_cursor(self, which: int) -> None:
        owner = sorted(self.cursors)[which % len(self.cursors)]
        self.cursors[owner] += 1
        row = self.do(owner, lambda: own_connection().cursor_of_test.fetchone())
        assert row == (self.cursors[owner] if self.cursors[owner] <= 100 else None,)

    @precondition(lambda self: self.cursors)
    @rule(which=st.integers(0, 10))
    def close_cursor(self, which: int) -> None:
        owner = sorted(self.cursors)[which % len(self.cursors)]
        self.do(owner, lambda: own_connection().cursor_of_test.close())
        del self.cursors[owner]
        self._forget_pid(owner)

    @rule(owner=owner)
    def end_request(self, owner: int) -> None:
        self.owners[owner].do(slots.end_request)
        for held in (self.in_transaction, self.cursors, self.changed, self.locks, self.sequences):
            held.pop(owner, None)
        self.pids.pop(owner, None)

    @rule(owner=owner)
    def end_thread(self, owner: int) -> None:
        self.owners[owner].end()
        self.owners[owner] = Actor()
        for held in (self.in_transaction, self.cursors, self.changed, self.locks, self.sequences):
            held.pop(owner, None)
        self.pids.pop(owner, None)
        slots.current_owner()  # eventlet frees local storage with the next use
        give_up = time.monotonic() + 10
        while self._held() > len(self.holders()):
            assert time.monotonic() < give_up
            time.sleep(0.001)

    @invariant()
    def the_bound_holds(self) -> None:
        assert slots.pool is not None
        assert sum(len(slot.resources) for slot in slots.pool.slots) <= SLOTS
        assert self._held() == len(self.holders())

    def _held(self) -> int:
        assert slots.pool is not None
        return slots.pool.counts()["held"]

    def _note_pid(self, owner: int) -> None:
        self.pids[owner] = self.do(owner, ask)

    def _forget_pid(self, owner: int) -> None:
        if owner not in self.holders():
            self.pids.pop(owner, None)

    def teardown(self) -> None:
        for actor in self.owners:
            actor.start(slots.end_request)
            actor.end()
        slots.uninstall()


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(
    max_examples=12,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("owners", [3, 12])
def test_crowd_without_a_plan(owners: int, pool: Any) -> None:
    """Real interleavings: each owner checks what it alone must see."""
    ask("CREATE TABLE IF NOT EXISTS crowded (id serial, owner int)")
    slots.end_request()
    failures: list[BaseException] = []
    pool.timeout = 20.0

    def live(number: int) -> None:
        chance = random.Random(number)  # noqa: S311
        try:
            for _ in range(25):
                one_request(number, chance)
                slots.end_request()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=live, args=[number]) for number in range(owners)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures, failures[0]
    assert pool.counts() == {"free": 2, "idle": 0, "held": 0, "waiting": 0}


def one_request(number: int, chance: random.Random) -> None:
    """Do something that another owner could spoil."""
    match chance.randrange(5):
        case 0:
            with transaction.atomic():
                before = ask("SELECT pg_current_xact_id()::text")
                time.sleep(chance.random() / 200)
                assert ask("SELECT pg_current_xact_id()::text") == before
        case 1:
            mine = ask("SELECT nextval('crowded_id_seq')")
            time.sleep(chance.random() / 200)
            assert ask("SELECT currval('crowded_id_seq')") == mine
        case 2:
            ask(f"SET probe.number = '{number}'")
            time.sleep(chance.random() / 200)
            assert ask("SHOW probe.number") == str(number)
        case 3:
            cursor = own_connection().chunked_cursor()
            cursor.execute("SELECT %s + generate_series(1, 20)", [number * 100])
            time.sleep(chance.random() / 200)
            assert [row[0] for row in cursor.fetchall()] == [number * 100 + i for i in range(1, 21)]
            cursor.close()
        case 4:
            for _ in range(5):
                assert ask("SELECT %s::int", [number]) == number
                time.sleep(chance.random() / 200)
