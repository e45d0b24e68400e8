"""Run PostgreSQL's programs on a data directory."""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from devdb.account import opened_for
from devdb.errors import DevdbError

TIMEOUT = 60.0  # seconds for a program that creates the data
# The caller's environment has no effect: PGDATA, PGPORT, a locale that is not installed.
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
CAUSE = re.compile(r"\b(?:FATAL|PANIC|ERROR|error): .*")


@dataclass(frozen=True)
class Programs:
    """PostgreSQL's programs and the user that they run as (None: the one of this process)."""

    binaries: Path
    account: str | None

    def run(self, program: str, arguments: list[str], data: Path, stdin: str = "") -> None:
        """Run `program` on `data` to its end. Raise DevdbError where it fails."""
        with opened_for(self.account, data) as (path, options):
            try:
                done = subprocess.run(
                    [self.binaries / program, *arguments],
                    input=stdin,
                    capture_output=True,
                    text=True,
                    errors="replace",
                    timeout=TIMEOUT,
                    check=False,
                    env=ENVIRONMENT | {"PGDATA": path},
                    **options,
                )
            except subprocess.TimeoutExpired as error:
                raise DevdbError(f"{program} took longer than {TIMEOUT:.0f} s.") from error
        if done.returncode:
            raise DevdbError(f"{program} failed: {cause(done.stdout + done.stderr)}")

    def start_server(self, data: Path, arguments: list[str], log: Path) -> subprocess.Popen[bytes]:
        """Start the server on `data` and return at once."""
        with opened_for(self.account, data) as (path, options), log.open("wb") as output:
            return subprocess.Popen(
                [self.binaries / "postgres", "-D", path, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for the command; the server stops after it
                env=ENVIRONMENT,
                **options,
            )


def cause(output: str) -> str:
    """Return the part of `output` that says why a program failed: one line."""
    if found := CAUSE.search(output):
        return found[0]
    lines = output.split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it printed nothing")
