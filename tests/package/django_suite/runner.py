"""The test runner inside Django's runtests.py: it records each result, and installs slots."""

import faulthandler
import json
import os
import time
import unittest
from typing import Any

from django.db import connections
from django.test.runner import DiscoverRunner

# Seconds for one test. A test that waits for longer ends the run with the stacks of all threads.
TEST_TIMEOUT = 120


class RecordingResult(unittest.TextTestResult):
    """Write a line of JSON for each test: its id, outcome, duration in seconds and traceback.

    The last line of a test counts most: a failure in a sub-test or a cleanup comes beside others.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._file = open(os.environ["DJANGO_SUITE_RESULTS"], "a", buffering=1)  # noqa: SIM115
        self._began = time.monotonic()

    def startTest(self, test: unittest.TestCase) -> None:
        """Begin to measure."""
        self._began = time.monotonic()
        faulthandler.dump_traceback_later(TEST_TIMEOUT, exit=True)
        super().startTest(test)

    def stopTest(self, test: unittest.TestCase) -> None:
        """End the measurement, and the request that the test stands for."""
        super().stopTest(test)
        faulthandler.cancel_dump_traceback_later()
        _end_request()

    def addSuccess(self, test: unittest.TestCase) -> None:
        """Record a success."""
        super().addSuccess(test)
        self._record(test, "success")

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        """Record a failure."""
        super().addFailure(test, err)
        self._record(test, "failure", self.failures[-1][1])

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        """Record an error. In setUpClass() and the like, `test` stands for the class."""
        super().addError(test, err)
        self._record(test, "error", self.errors[-1][1])

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:
        """Record a failure in a sub-test as one of the test."""
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._record(test, "failure", (self.failures + self.errors)[-1][1])

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        """Record a skip."""
        super().addSkip(test, reason)
        self._record(test, "skip", reason)

    def addExpectedFailure(self, test: unittest.TestCase, err: Any) -> None:
        """Record a failure that Django expects."""
        super().addExpectedFailure(test, err)
        self._record(test, "expected failure")

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        """Record a success where Django expects a failure."""
        super().addUnexpectedSuccess(test)
        self._record(test, "unexpected success")

    def _record(self, test: unittest.TestCase, outcome: str, details: str = "") -> None:
        seconds = round(time.monotonic() - self._began, 3)
        self._file.write(json.dumps([test.id(), outcome, seconds, details]) + "\n")


class RecordingRunner(DiscoverRunner):
    """Install the slots once the databases exist, and record the results."""

    def get_resultclass(self) -> type[unittest.TextTestResult]:
        """Return the class that records."""
        return RecordingResult

    def build_suite(self, *args: Any, **kwargs: Any) -> unittest.TestSuite:
        """Build the suite, and record how many tests it has."""
        suite = super().build_suite(*args, **kwargs)
        with open(os.environ["DJANGO_SUITE_RESULTS"], "a") as file:
            file.write(json.dumps(suite.countTestCases()) + "\n")
        return suite

    def run_suite(self, suite: unittest.TestSuite, **kwargs: Any) -> Any:
        """Run the suite on slots, if the environment asks for it."""
        if not os.environ["DJANGO_SUITE_SLOTS"]:
            return super().run_suite(suite, **kwargs)
        from connection_slots import slots

        slots.install()
        try:
            return super().run_suite(suite, **kwargs)
        finally:
            slots.uninstall()


def _end_request() -> None:
    """Give up the slot as a server does between two requests, unless a class still needs it.

    TestCase keeps a transaction for all tests of a class.
    """
    if os.environ["DJANGO_SUITE_SLOTS"] and not any(
        connection.in_atomic_block for connection in connections.all(initialized_only=True)
    ):
        from connection_slots import slots

        slots.end_request()
