"""The results of two runs, and their differences."""

import json
import platform
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import django

EXPECTED = Path(__file__).with_name("expected.toml")

BAD = frozenset({"failure", "error", "unexpected success", "not run"})


class SuiteError(Exception):
    """The suite cannot run, or did not come to its end."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of one test, with its traceback or the reason of its skip."""

    kind: str
    details: str = ""

    @property
    def is_bad(self) -> bool:
        """Return True if Django's test runner counts it as a failure."""
        return self.kind in BAD


NOT_RUN = Outcome("not run")


@dataclass(frozen=True)
class Expected:
    """Tests that are meant to differ, by their ids or the beginnings of these."""

    tests: list[str]
    reason: str
    modes: list[str] = field(default_factory=lambda: ["plain", "slots", "switch"])
    drivers: list[str] = field(default_factory=lambda: ["psycopg", "psycopg2"])

    def matching(self, test: str) -> str | None:
        """Return the entry that `test` matches, or None."""
        for entry in self.tests:
            if test == entry or test.startswith(f"{entry}."):
                return entry
        return None


@dataclass
class Comparison:
    """The outcomes of the same tests on Django's backend and on ours."""

    tests: int = 0
    skipped: int = 0
    bad_on_both: list[str] = field(default_factory=list)
    bad_only_on_djangos: list[str] = field(default_factory=list)
    expected: dict[str, str] = field(default_factory=dict)  # test: reason
    unexpected: dict[str, Outcome] = field(default_factory=dict)
    outdated: list[str] = field(default_factory=list)  # entries whose tests ran without difference


def compare(
    theirs: Mapping[str, Outcome], ours: Mapping[str, Outcome], expected: Sequence[Expected]
) -> Comparison:
    """Compare the outcomes on Django's backend with ours."""
    found = Comparison(len(theirs.keys() | ours.keys()))
    ran, differed = set(), set()
    for test in sorted(theirs.keys() | ours.keys()):
        here, there = ours.get(test, NOT_RUN), theirs.get(test, NOT_RUN)
        match = next((e for e in expected if e.matching(test)), None)
        if match and (here.kind, there.kind) != ("skip", "skip"):
            ran.add(match.matching(test))
        if here.is_bad and there.is_bad:
            found.bad_on_both.append(test)
        elif here.is_bad or (here.kind == "skip" and there.kind != "skip" and not there.is_bad):
            if match:
                differed.add(match.matching(test))
                found.expected[test] = match.reason
            else:
                found.unexpected[test] = here
        elif there.is_bad:
            found.bad_only_on_djangos.append(test)
        elif here.kind == "skip":
            found.skipped += 1
    found.outdated = sorted(str(entry) for entry in ran - differed)
    return found


def read_expected(mode: str, driver: str) -> list[Expected]:
    """Return the entries of expected.toml for this mode and driver."""
    entries = [Expected(**entry) for entry in tomllib.loads(EXPECTED.read_text())["expected"]]
    return [e for e in entries if mode in e.modes and driver in e.drivers]


def read_results(lines: Path) -> dict[str, Outcome]:
    """Return the outcome of each test from what runner.py has written."""
    found: dict[str, Outcome] = {}
    for line in lines.read_text().splitlines():
        row = json.loads(line)
        if not isinstance(row, list):
            continue  # the number of tests, or the end
        test, kind, details = row
        # setUpClass (backends.tests.ThreadTests) stands for the class.
        if match := re.fullmatch(r"(\w+) \((\S+)\)", test):
            test = f"{match[2]}.{match[1]}"
        if test not in found or not found[test].is_bad:
            found[test] = Outcome(kind, details)
    return found


@dataclass
class Baseline:
    """The results of Django's backend, to be kept in a file."""

    django: str
    python: str
    driver: str
    labels: list[str]
    outcomes: dict[str, Outcome]

    @classmethod
    def of(cls, driver: str, labels: Sequence[str], outcomes: dict[str, Outcome]) -> "Baseline":
        """Return the baseline of a run in this environment."""
        return cls(
            django.get_version(), platform.python_version(), driver, sorted(labels), outcomes
        )

    @classmethod
    def read(cls, file: Path, driver: str, labels: Sequence[str]) -> "Baseline | None":
        """Return the part of the baseline in `file` that has these labels, or None without a file.

        Raise SuiteError if it was made in another environment or without these labels.
        """
        if not file.exists():
            return None
        found = cls(**json.loads(file.read_text()))
        found.outcomes = {test: Outcome(*each) for test, each in found.outcomes.items()}  # type: ignore[misc]
        present = cls.of(driver, labels, {})
        for what in ("django", "python", "driver"):
            if getattr(found, what) != getattr(present, what):
                raise SuiteError(
                    f"the {what} of {file} differs: {getattr(found, what)}, and not "
                    f"{getattr(present, what)}; delete the file to make another"
                )
        if found.labels == present.labels:
            return found
        if not present.labels or (found.labels and not set(found.labels) >= set(present.labels)):
            raise SuiteError(f"{file} has not all these labels; delete it to make another")
        found.outcomes = {
            test: outcome
            for test, outcome in found.outcomes.items()
            if any(f"{test}.".startswith(f"{label}.") for label in labels)
        }
        return found

    def write(self, file: Path) -> None:
        """Write the baseline, complete or not at all."""
        content = asdict(self) | {
            "outcomes": {test: [each.kind, each.details] for test, each in self.outcomes.items()}
        }
        new = file.with_name(f"{file.name}.new")
        new.write_text(json.dumps(content))
        new.replace(file)
