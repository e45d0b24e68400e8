"""Run git, and say in one line what is wrong."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

# A git hook that starts this command sets these to its own repository.
OF_A_HOOK = {"GIT_DIR", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX", "GIT_WORK_TREE"}


class Refused(Exception):
    """Something is wrong with the input. The message is one line, and nothing was changed."""


def run(
    *arguments: str | Path,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    given: str | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run git with `arguments` and the text `given` as its input; return the finished process.

    Raises:
        Refused: git is not installed.
    """
    inherited = {name: value for name, value in os.environ.items() if name not in OF_A_HOOK}
    # git must not ask for a password: the address of a template may need one.
    ours = {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    try:
        return subprocess.run(
            ["git", *arguments],  # noqa: S607 - the git that the user has
            cwd=cwd,
            env=inherited | ours | dict(environment or {}),
            input=given,
            capture_output=True,
            text=True,
            errors="surrogateescape",  # a path can have any bytes
        )
    except FileNotFoundError:
        raise Refused("git is not installed") from None


def output(
    *arguments: str | Path,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    given: str | None = None,
) -> str:
    """Run git like run(), and return what it wrote, without the last newline.

    Raises:
        Refused: git ended with an error.
    """
    done = run(*arguments, cwd=cwd, environment=environment, given=given)
    if done.returncode:
        command = next(each for each in map(str, arguments) if not each.startswith("-"))
        raise Refused(f"git {command}: {reason(done)}")
    return done.stdout.removesuffix("\n")


def reason(done: subprocess.CompletedProcess[str]) -> str:
    """Return the line of git's errors that names the cause."""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    named = [line for line in lines if line.startswith(("fatal: ", "error: "))]
    return (named or lines or [f"exit {done.returncode}"])[0]
