"""Generate a project, install it, and run commands in it."""

import atexit
import copy
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from baking.combinations import PYTHON, ROOT, Combination
from baking.interpreters import interpreter

TIMEOUT = 600  # seconds for one command; a project's own suite takes about a minute
SHOWN = 8000  # characters of a failed command's output that an error shows

# What a command in a generated project inherits. Nothing else: DATABASE_URL, DEBUG or VIRTUAL_ENV
# of the caller would change what is tested.
INHERITED = ("PATH", "HOME", "LANG", "SSL_CERT_FILE", "UV_CACHE_DIR", "PYENV_ROOT")


class CommandFailed(Exception):
    """A command ended with an error; the message has the end of its output."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        command = " ".join(map(str, done.args))
        output = (done.stdout + done.stderr)[-SHOWN:]
        super().__init__(f"{command!r} ended with {done.returncode}:\n{output}")


@functools.cache
def snapshot() -> Path:
    """Return a copy of the template without what git ignores, such as caches of tests and tools.

    It is what a user gets who bakes from a clone. It is removed when this process ends.
    """
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    directory = Path(tempfile.mkdtemp(prefix="template-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():  # a deleted file is listed until it is committed
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, directory / name)
    return directory


def run_cookiecutter(output: Path, **answers: str) -> subprocess.CompletedProcess[str]:
    """Run the command line of cookiecutter on this template, and return the finished process.

    It runs as a process of its own, so what the hooks print is captured.
    """
    given = [f"{name}={value}" for name, value in answers.items()]
    options = ["--no-input", "--default-config", "--output-dir", str(output)]
    return subprocess.run(
        [sys.executable, "-m", "cookiecutter", str(snapshot()), *options, *given],
        capture_output=True,
        text=True,
    )


def generate(output: Path, **answers: str) -> Path:
    """Generate a project below `output`, which has to be empty, and return its directory.

    Raises:
        CommandFailed: The template refused the answers.
    """
    done = run_cookiecutter(output, **answers)
    if done.returncode:
        raise CommandFailed(done)
    (project,) = output.iterdir()
    return project


class Project:
    """A generated project with its dependencies installed, on the oldest Python it supports."""

    def __init__(self, output: Path, combination: Combination) -> None:
        """Generate `combination` below `output`, which has to be empty, and install it.

        Raises:
            NoInterpreter: This machine has no Python that the project's Django supports.
            CommandFailed: Generating or installing failed.
        """
        self.combination = combination
        self.environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
        self.environment |= {
            "UV_PYTHON": interpreter(PYTHON[combination.django_version]),
            "UV_PYTHON_DOWNLOADS": "never",
            # Shared by the projects of one test process: Django's types are the same for all.
            "MYPY_CACHE_DIR": str(output.parent / f"mypy-{combination.django_version}"),
        }
        self.directory = generate(output, **combination.answers)
        self.install()

    def install(self) -> None:
        """Install the dependencies into the project's own virtual environment.

        Raises:
            CommandFailed: A dependency could not be resolved or installed.
        """
        self.run("uv", "sync", "--quiet")

    def copy(self, directory: Path) -> "Project":
        """Copy the project to `directory`, which must not exist, and return it, installed.

        The copy has a virtual environment of its own, so a change of the packages in packages/
        takes effect in the copy only. uv.lock is copied: both have the same releases.
        """
        ignored = shutil.ignore_patterns(".venv", "__pycache__", ".devdb")
        shutil.copytree(self.directory, directory, ignore=ignored)
        twin = copy.copy(self)
        twin.directory = directory
        twin.install()
        return twin

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `command` in the project's directory with extra environment variables.

        Raises:
            CommandFailed: It ended with an error.
        """
        done = self.attempt(*command, **environment)
        if done.returncode:
            raise CommandFailed(done)
        return done

    def attempt(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `command` like run(), and return the finished process even if it failed."""
        return subprocess.run(
            command,
            cwd=self.directory,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
