"""A generated project in its own environment, with the Python that its Django needs."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.combinations import PYTHON, SUPPORTED, Combination
from tests.conftest import generate

LONGEST = 600  # seconds for one suite; a project's own takes less than 60


class Project:
    """Generated and installed below `output`."""

    def __init__(self, output: Path, combination: Combination) -> None:
        self.directory = generate(output, **combination.answers)
        inherited = ("PATH", "HOME", "LANG", "SSL_CERT_FILE", "UV_CACHE_DIR", "PYENV_ROOT")
        self.environment = {name: os.environ[name] for name in inherited if name in os.environ}
        self.environment |= {
            "UV_PYTHON": interpreter(PYTHON[combination.django_version]),
            "UV_PYTHON_DOWNLOADS": "never",
            # Django's types are the same for all projects of one test process.
            "MYPY_CACHE_DIR": str(output.parent / f"mypy-{combination.django_version}"),
        }
        self.run("uv", "sync", "--quiet")

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run to the end; an AssertionError shows the output of a command that failed."""
        done = self.attempt(*command, environment=environment)
        assert done.returncode == 0, (done.stdout + done.stderr)[-8000:]
        return done

    def attempt(
        self,
        *command: str,
        directory: Path | None = None,
        environment: dict[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run to the end, which may be a failure; in a mutant's `directory` where one is given."""
        return subprocess.run(
            command,
            cwd=directory or self.directory,
            env=self.environment | (environment or {}),
            capture_output=True,
            text=True,
            timeout=LONGEST,
        )


def interpreter(version: str) -> str:
    """A Python of `version` or later, or a skip that says there is none."""
    found = next(interpreters(version), None)
    if found is None:
        pytest.skip(f"no Python {version} or later on this machine")
    return found


def interpreters(version: str) -> Iterator[str]:
    """The Pythons of `version` or later, by full path.

    Version managers put shims on PATH, which answer only for their default.
    """
    wanted = tuple(map(int, version.split(".")))
    managed = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    names = [f"python3.{minor}" for minor in range(wanted[1], wanted[1] + 4)]
    candidates = [sys.executable, *(shutil.which(name) for name in names)]
    candidates += [shutil.which(name, path=os.defpath) for name in names]
    candidates += [str(path) for name in names for path in sorted(managed.glob(f"3.*/bin/{name}"))]
    for candidate in filter(None, candidates):
        say = "import json, sys; print(json.dumps([sys.base_prefix, sys.version_info[:2]]))"
        done = subprocess.run([candidate, "-c", say], capture_output=True, text=True)
        if done.returncode == 0:
            prefix, found = json.loads(done.stdout)
            if tuple(found) >= wanted:
                yield str(Path(prefix, "bin", f"python{found[0]}.{found[1]}"))


def skip_unless_selected(combination: Combination, config: pytest.Config) -> None:
    """With --fast, only the first supported project of each worker class is run."""
    first = next(c for c in SUPPORTED if c.worker_class == combination.worker_class)
    if config.getoption("--fast") and combination != first:
        pytest.skip("not in the --fast selection")
