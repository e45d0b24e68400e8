"""Run the suite in processes of their own, and show how far they are."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.package.django_suite.modes import MODES
from tests.package.django_suite.results import Outcome, SuiteError, read_results
from tests.package.django_suite.source import ROOT

LOOK_EVERY = 0.5  # seconds
SAY_EVERY = 15.0  # seconds, where standard error is not a terminal


class Run:
    """One run of the suite, with its files in a directory."""

    def __init__(self, directory: Path, driver: str, mode: str, labels: Sequence[str]) -> None:
        directory.mkdir()
        self.name = directory.name
        self.driver = driver
        self.mode = mode
        self.labels = labels
        self.log = directory / "log"
        self.lines = directory / "results.jsonl"
        self.lines.touch()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, suite: Path, server: str) -> None:
        """Start the process. Each run has databases of its own on the `server` (a URL)."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("DJANGO_", "DATABASE_"))}
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = kept | {
            "PYTHONPATH": os.pathsep.join(paths),
            "DJANGO_SUITE_DATABASE": self.name,
            "DJANGO_SUITE_DRIVER": self.driver,
            "DJANGO_SUITE_MODE": self.mode,
            "DJANGO_SUITE_RESULTS": str(self.lines),
            "DJANGO_SUITE_SERVER": server,
        }
        command = [sys.executable, "runtests.py", "--noinput", "--parallel=1"]
        command += ["--settings=tests.package.django_suite.settings", *self.labels]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=suite, env=environment, stdout=log, stderr=subprocess.STDOUT
            )

    def is_running(self) -> bool:
        """Return True until the process has ended."""
        return self._process is not None and self._process.poll() is None

    def end(self) -> None:
        """End the process if it still runs."""
        if self._process is not None and self.is_running():
            self._process.terminate()
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def results(self) -> dict[str, Outcome]:
        """Return the outcome of each test. Raise SuiteError if the run did not come to its end."""
        # runtests.py exits with 0 or 1 after the last test.
        if self._process is None or self._process.returncode not in (0, 1) or not self._is_complete:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-60:])
            raise SuiteError(f"the run on {MODES[self.mode]} ended early:\n{tail}")
        return read_results(self.lines)

    @property
    def _is_complete(self) -> bool:
        lines = self.lines.read_text().splitlines()
        return bool(lines) and json.loads(lines[-1]) == "complete"

    def __str__(self) -> str:
        """Return how far the run is."""
        total, *done = self.lines.read_text().splitlines() or ["?"]
        return f"{self.name} {len(done)}/{total}"


def run_all(runs: Sequence[Run], suite: Path, server: str) -> None:
    """Run all of them at the same time, and return when they have ended."""
    began = said = time.monotonic()
    terminal = sys.stderr.isatty()
    try:
        for run in runs:
            run.start(suite, server)
        while any(run.is_running() for run in runs):
            time.sleep(LOOK_EVERY)
            now = time.monotonic()
            if terminal or now - said >= SAY_EVERY:
                said = now
                line = f"{', '.join(map(str, runs))} tests, {now - began:.0f} s"
                print(f"\r{line}\033[K" if terminal else line, end="", file=sys.stderr)
                print(end="" if terminal else "\n", file=sys.stderr, flush=True)
    finally:
        for run in runs:
            run.end()
        if terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
