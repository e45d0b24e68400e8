"""connection_slots with one fault each: its tests fail, and so they would find that fault."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from baking.combinations import ROOT, TEMPLATE

SOURCE = TEMPLATE / "packages" / "connection_slots" / "src"
TIMEOUT = 300  # seconds


@dataclass(frozen=True)
class Mutant:
    """Each change is a file, an old text and a new one. With them, `test` fails."""

    name: str
    changes: tuple[tuple[str, str, str], ...]
    test: str


MUTANTS = [
    Mutant(
        "release inside a transaction",
        (
            (
                "backend/base.py",
                "if not self._held or self.in_atomic_block or self._pins:",
                "if not self._held:",
            ),
            (
                "backend/base.py",
                'or self.autocommit != self.settings_dict["AUTOCOMMIT"]\n            ):',
                "):",
            ),
            ("backend/base.py", "if session.status() == IDLE:", "if True:"),
        ),
        "test_backend.py::test_atomic_holds_the_slot",
    ),
    Mutant(
        "release after BEGIN",
        (("backend/base.py", "if session.status() == IDLE:", "if True:"),),
        "test_backend.py::test_begin_holds_the_slot",
    ),
    Mutant(
        "release with an open cursor",
        (
            (
                "backend/base.py",
                "                session.open_cursors\n                or session.stays",
                "                session.stays",
            ),
            (
                "backend/session.py",
                "if not cursors and wrapper is not None",
                "if wrapper is not None",
            ),
        ),
        "test_backend.py::test_second_cursor_goes_on_holding",
    ),
    Mutant(
        "former owner not detached",
        (
            ("pool.py", "                resource.detach()", "                pass"),
            ("backend/base.py", "            session.detach()\n", "            pass\n"),
        ),
        "test_backend.py::test_two_wrappers_never_share_a_connection",
    ),
    Mutant(
        "take-over compared wrongly",
        (
            (
                "pool.py",
                "            if not self._idle.pop(slot, False):\n                continue",
                "            if not self._idle.pop(slot, True):\n                continue",
            ),
        ),
        "test_pool.py::test_owner_that_is_faster_keeps_its_slot",
    ),
    Mutant(
        "take-over without a grace period",
        (("pool.py", "now - idle_since < owner.grace", "False"),),
        "test_pool.py::test_idle_slot_is_taken_over_after_its_grace_period",
    ),
    Mutant(
        "one slot more when all are taken",
        (
            (
                "pool.py",
                "            except IndexError:\n                pass\n            else:",
                "            except IndexError:\n                slot = Slot()\n"
                "            if True:",
            ),
        ),
        "test_pool.py::test_acquire_times_out",
    ),
    Mutant(
        "newest waiter first",
        (("pool.py", "self._queue.popleft()", "self._queue.pop()"),),
        "test_pool.py::test_waiters_come_in_order_and_before_newcomers",
    ),
    Mutant(
        "killed waiter loses its slot",
        (
            (
                "pool.py",
                "                self.give_up(owner)\n            raise",
                "                pass\n            raise",
            ),
        ),
        "test_pool.py::test_waiter_that_is_killed_takes_no_slot",
    ),
    Mutant(
        "transaction split by a close",
        (
            (
                "backend/base.py",
                "            self._drop_session()\n            if self.closed_in_transaction:",
                "            self._drop_session()\n"
                "            self.closed_in_transaction = self.needs_rollback = False\n"
                "            if self.closed_in_transaction:",
            ),
        ),
        "test_transactions.py",
    ),
    Mutant(
        "changed session reused",
        (
            (
                "backend/base.py",
                "return None if session.is_unchanged() else session.reason_to_close()",
                "return None",
            ),
        ),
        "test_clean_session.py",
    ),
    Mutant(
        "sequence of a request holds the next one",
        (("backend/base.py", "            session.stays = False\n", ""),),
        "test_backend.py::test_sequence_of_a_request_does_not_hold_the_next",
    ),
    Mutant(
        "dead connection not noticed",
        (("backend/session.py", "and not self._poller.poll(0)", ""),),
        "test_backend.py::test_connection_that_the_server_closed_is_replaced",
    ),
    Mutant(
        "shared connection given away",
        (
            (
                "backend/base.py",
                "        if self._sharing:\n            self._pins -= 1\n",
                "        if False:\n",
            ),
        ),
        "test_backend.py::test_shared_connection_belongs_to_nobody_else",
    ),
    Mutant(
        "slot that a finalizer releases at the end of a request",
        (("slots.py", "        wrapper.pin()\n", "        pass\n"),),
        "test_backend.py::test_finalizer_at_the_end_of_a_request_releases_nothing",
    ),
    Mutant(
        "commit without the slot",
        (
            (
                "backend/base.py",
                "                self._hold_idle_slot(pool)\n            return",
                "                pass\n            return",
            ),
        ),
        "test_backend.py::test_idle_slot_is_held_for_methods_that_do_not_ask",
    ),
    Mutant(
        "slot of an ended thread lost",
        (("slots.py", "            end_request(self.owner)", "            pass"),),
        "test_backend.py::test_thread_that_ends_in_a_transaction_leaves_nothing",
    ),
    Mutant(
        "thread of a cancelled request reused at once",
        (
            (
                "asgi.py",
                "thread.submit(thread.end_request).add_done_callback(lambda _: self._keep(thread))",
                "self._keep(thread)",
            ),
        ),
        "test_asgi.py::test_cancelled_request_frees_its_slot_when_its_view_has_ended",
    ),
    Mutant(
        "watchdog not started again",
        (("backend/watchdog.py", " or not self._thread.is_alive()", ""),),
        "test_watchdog.py::test_it_is_started_again_after_its_end",
    ),
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_fails(mutant: Mutant, tmp_path: Path) -> None:
    shutil.copytree(SOURCE, tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name, old, new in mutant.changes:
        file = tmp_path / "src" / "connection_slots" / name
        assert file.read_text().count(old) == 1, old
        file.write_text(file.read_text().replace(old, new))
    command = [sys.executable, "-m", "tests.package.flavour", "threads", "psycopg2"]
    done = subprocess.run(
        [*command, "-x", "-q", f"tests/package/slots/{mutant.test}"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "src"), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert done.returncode == 1, done.stdout[-4000:] + done.stderr[-2000:]
