"""The fleet check: its figures, and a short run for real."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from baking import pgbouncer
from baking.combinations import ROOT
from connection_slots.testing.clients import Answers
from tests.template.fleet import figures, page, proxy
from tests.template.fleet.figures import Outcome
from tests.template.fleet.report import Budget, Report

COMMAND = [sys.executable, "-m", "tests.template.fleet"]
TIMEOUT = 600  # seconds: each graceful stop takes up to 26

installed = pytest.mark.skipif(
    not (proxy.program() and pgbouncer.is_installed()),
    reason="HAProxy or PgBouncer is missing: install the packages haproxy and pgbouncer",
)


def outcome(
    *, planned: bool = True, failed: int = 0, server: int = 8, recovery: float | None = 0.0
) -> Outcome:
    statuses = {"503": failed} if failed else {}
    return Outcome("event", planned, 100, statuses, server, 16, recovery, 0.1)


def problems(one: Outcome) -> list[str]:
    return Report("PgBouncer", Budget(server=8, clients=20), [one]).problems()


@pytest.mark.parametrize(
    ("ended", "seconds"),
    [
        ([(0.1, "200"), (0.9, "200")], 0.0),
        ([(0.1, "503"), (0.4, "503"), (0.9, "200")], 0.4),
        ([(0.5, "503"), (1.4, "503"), (1.6, "200"), (2.6, "503")], 1.4),
        ([(3.0, "200"), (3.1, "200")], 3.0),  # nobody was answered before
        ([(0.5, "503")], None),
        ([], None),
    ],
)
def test_recovery_is_the_first_second_without_failures(
    ended: list[tuple[float, str]], seconds: float | None
) -> None:
    requests = [(100 + at, 0.05, what) for at, what in ended]
    expected = None if seconds is None else pytest.approx(seconds, abs=1e-3)
    assert figures.recovery(requests, 100.0) == expected


def test_request_counts_for_the_event_in_which_it_ended() -> None:
    answers = Answers([(9.0, 2.0, 503), (10.5, 0.5, 200), (11.8, 1.0, "ConnectionError")])
    requests = figures.answered(answers, 10.0, 12.0)
    assert figures.failures(requests) == {"503": 1}
    assert len(requests) == 2


def test_planned_event_must_not_fail_requests() -> None:
    assert problems(outcome()) == []
    assert problems(outcome(planned=False, failed=3)) == []
    assert problems(outcome(failed=3)) == ["PgBouncer, event: failed 3 requests"]


def test_bound_and_recovery_are_required_of_every_event() -> None:
    assert "9 connections, 8 allowed" in problems(outcome(planned=False, server=9))[0]
    assert "did not recover" in problems(outcome(planned=False, recovery=None))[0]


def test_table_names_what_failed() -> None:
    report = Report("direct", Budget(8, 20), [outcome(planned=False, failed=3)])
    assert "3 x 503" in page.table([report])
    assert "| direct | event | 100 | 3 x 503 | 8 of 8 | 16 of 20 |" in page.markdown([report])


@installed
@pytest.mark.slow
@pytest.mark.parametrize("mode", ["PgBouncer", "direct"])
def test_fleet_keeps_its_promises(mode: str) -> None:
    options = ["--direct"] if mode == "direct" else []
    done = subprocess.run(
        [*COMMAND, "--seconds", "2", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    head, *rows = done.stdout.splitlines()
    assert head.split()[:3] == ["mode", "event", "served"]
    assert all(row.startswith(mode) for row in rows)
    assert any("PgBouncer restarted" in row for row in rows) == (mode == "PgBouncer")
    assert len(rows) == (6 if mode == "PgBouncer" else 5)


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A directory that PgBouncer, which does not run as root, may enter."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        yield directory


@installed
@pytest.mark.slow
def test_interrupted_fleet_leaves_nothing_behind(reachable: Path) -> None:
    environment = os.environ | {"TMPDIR": str(reachable)}
    with subprocess.Popen(
        [*COMMAND, "--seconds", "60"], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    ) as command:
        assert command.stderr is not None
        for line in command.stderr:
            if "no event" in line:
                break
        assert processes(reachable), "it ended before the first event"
        time.sleep(1)
        command.send_signal(signal.SIGINT)
        assert command.wait(TIMEOUT) == 130, command.stderr.read()
    assert processes(reachable) == []
    # Files of cookiecutter, which does not remove its rendered hooks, may be left.
    assert [path for path in reachable.iterdir() if path.is_dir()] == []


def processes(directory: Path) -> list[str]:
    """Return the command lines that name `directory`, or that run in it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_text().replace("\0", " ")
            if str(directory) in line or str(directory) in str((process / "cwd").readlink()):
                found.append(line)
        except OSError:
            continue  # it has ended
    return found
