"""A project to run devdb in, a way to ask its server, and waiting."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from devdb import Cluster

TIMEOUT = 240.0  # seconds: a shared machine can be ten times as slow as usual


def ask(url: str, *statements: str, **changes: Any) -> Any:
    """Execute each statement. Return the first column of the last one's first row."""
    with psycopg.connect(url, autocommit=True, connect_timeout=5, **changes) as connection:
        for statement in statements:
            cursor = connection.execute(statement.encode())
        row = cursor.fetchone() if cursor.description else None
    return row[0] if row else None


def wait_for(condition: Callable[[], object], what: str) -> None:
    """Return when `condition` holds. Fail after TIMEOUT."""
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)


@dataclass
class Project:
    """A directory with a pyproject.toml, and the environment of the commands that run there."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def cluster(self) -> Cluster:
        """Return the server of the project, to look at."""
        return Cluster(self.root / ".devdb", name="my_shop")

    def write(self, name: str, text: str) -> Path:
        """Write a file of the project."""
        path = self.root / name
        path.write_text(text)
        return path

    def read(self, name: str) -> str:
        """Return the content of a file of the project, or nothing where there is none."""
        path = self.root / name
        return path.read_text() if path.exists() else ""

    def start(self, *arguments: str, module: str = "devdb", **env: str) -> subprocess.Popen[str]:
        """Start a command in a process group of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=self.root,
            env=self.environment | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(
        self, *arguments: str, module: str = "devdb", **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        process = self.start(*arguments, module=module, **env)
        try:
            output, errors = process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # its children hold the pipes open
            output, errors = process.communicate()
            pytest.fail(f"still running after {TIMEOUT:.0f} s:\n{output}{errors}")
        return subprocess.CompletedProcess(process.args, process.returncode, output, errors)

    def run_python(self, code: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run Python code under `devdb run`."""
        return self.run("run", sys.executable, "-c", code, **env)


def clean_environment() -> dict[str, str]:
    """Return the environment without what devdb, pytest and xdist read."""
    prefixes = ("DATABASE_", "DEBUG", "SECRET_KEY", "ENV_FILE", "DEVDB_", "DJANGO_", "PYTEST_")
    return {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
