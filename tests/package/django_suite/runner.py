"""The test runner inside Django's runtests.py: it records each result, and installs slots."""

import faulthandler
import json
import os
import unittest
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from django.core.signals import setting_changed
from django.db import connections
from django.test.runner import DiscoverRunner

from connection_slots import slots
from connection_slots.pool import GRACE, Owner

if TYPE_CHECKING:
    from connection_slots.backend.session import Session

MODE = os.environ["DJANGO_SUITE_MODE"]

# Seconds for one test. One that takes longer ends the run with the stacks of all threads.
TEST_TIMEOUT = 60


def record(row: object) -> None:
    """Write one line of JSON to the file of results."""
    with Path(os.environ["DJANGO_SUITE_RESULTS"]).open("a") as file:
        file.write(json.dumps(row) + "\n")


class RecordingResult(unittest.TextTestResult):
    """Record the outcome of each test, with its traceback or the reason of a skip."""

    def startTest(self, test: unittest.TestCase) -> None:
        """Begin to measure."""
        faulthandler.dump_traceback_later(TEST_TIMEOUT, exit=True)
        super().startTest(test)

    def stopTest(self, test: unittest.TestCase) -> None:
        """End the measurement, and the request that the test stands for."""
        super().stopTest(test)
        faulthandler.cancel_dump_traceback_later()
        if MODE in ("slots", "switch"):
            _end_request()

    def addSuccess(self, test: unittest.TestCase) -> None:
        """Record a success."""
        super().addSuccess(test)
        record([test.id(), "success", ""])

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        """Record a failure."""
        super().addFailure(test, err)
        record([test.id(), "failure", self.failures[-1][1]])

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        """Record an error. In setUpClass() and the like, `test` stands for the class."""
        super().addError(test, err)
        record([test.id(), "error", self.errors[-1][1]])

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:
        """Record a failure in a sub-test as one of the test."""
        super().addSubTest(test, subtest, err)
        if err is not None:
            record([test.id(), "failure", self._exc_info_to_string(err, test)])  # type: ignore[attr-defined]

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        """Record a skip."""
        super().addSkip(test, reason)
        record([test.id(), "skip", reason])

    def addExpectedFailure(self, test: unittest.TestCase, err: Any) -> None:
        """Record a failure that Django expects."""
        super().addExpectedFailure(test, err)
        record([test.id(), "expected failure", ""])

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        """Record a success where Django expects a failure."""
        super().addUnexpectedSuccess(test)
        record([test.id(), "unexpected success", ""])


class RecordingRunner(DiscoverRunner):
    """Install the slots once the databases exist, and record the results."""

    def get_resultclass(self) -> type[unittest.TextTestResult]:
        """Return the class that records."""
        return RecordingResult

    def build_suite(self, *args: Any, **kwargs: Any) -> unittest.TestSuite:
        """Build the suite, and record how many tests it has."""
        suite = super().build_suite(*args, **kwargs)
        record(suite.countTestCases())
        return suite

    def run_suite(self, suite: unittest.TestSuite, **kwargs: Any) -> Any:
        """Run the suite, with slots in the modes that have them."""
        if MODE not in ("slots", "switch"):
            return super().run_suite(suite, **kwargs)
        slots.install()
        setting_changed.connect(_close_free_sessions)
        if MODE == "switch":
            _switch_sessions()
        try:
            return super().run_suite(suite, **kwargs)
        finally:
            slots.uninstall()

    def suite_result(self, suite: unittest.TestSuite, result: Any, **kwargs: Any) -> int:
        """Record that the suite has come to its end."""
        record("complete")
        return super().suite_result(suite, result, **kwargs)


def _end_request() -> None:
    """Give up the slot as a server does between two requests, unless a class still needs it.

    TestCase has a transaction around all tests of a class.
    """
    if not any(each.in_atomic_block for each in connections.all(initialized_only=True)):
        slots.end_request()


def _close_free_sessions(*, setting: str, **kwargs: Any) -> None:
    """Close the sessions that a changed setting concerns. Django updates the test's own session.

    Only tests change settings while sessions are open.
    """
    if slots.pool is not None and setting in ("TIME_ZONE", "USE_TZ"):
        for slot in list(slots.pool._free):
            for session in slot.resources.values():
                session.close()
            slot.resources.clear()


def _switch_sessions() -> None:
    """Let another owner take over each slot that is released, as soon as the pool may do that.

    The former owner finds another session with its next statement.
    """
    pool = cast("slots.Pool", slots.pool)
    release = pool.release

    def release_to_another(owner: "Owner[Session]") -> None:
        slot = owner.slot
        if slot is None or owner.grace > GRACE:
            release(owner)
            return
        sessions = list(slot.resources.values())
        if not all(session.may_change_owner() for session in sessions):
            release(owner)
            return
        for session in sessions:
            session.detach()
        owner.slot = slot.owner = None
        owner.slot_lost()
        pool._free.insert(0, slot)  # it takes its turn after the others
        pool._serve()

    pool.release = release_to_another  # type: ignore[method-assign]
