"""Run PostgreSQL as an ordinary user: it refuses to run as root."""

import contextlib
import os
import pwd
from collections.abc import Iterator
from pathlib import Path
from typing import Any

OPEN_FILES = Path("/proc/self/fd")


def server_account() -> str | None:
    """Return the user that PostgreSQL runs as where this process is root, else None."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def run_as(account: str | None) -> dict[str, Any]:
    """Return the arguments of `subprocess` that start a process as `account`."""
    if account is None:
        return {}
    # The current directory may be closed to that user.
    group = pwd.getpwnam(account).pw_gid
    return {"user": account, "group": group, "extra_groups": [], "cwd": "/"}


@contextlib.contextmanager
def opened_for(account: str | None, directory: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a path of `directory` for a child process, and the arguments that start the child.

    `account` may not reach the directory: /root, for one, is closed to others. So the child
    inherits the opened directory, and a path through it needs no permission on those above.
    """
    if account is None or not OPEN_FILES.exists():
        yield str(directory), run_as(account)
        return
    opened = os.open(directory, os.O_RDONLY)
    try:
        yield str(OPEN_FILES / str(opened)), run_as(account) | {"pass_fds": [opened]}
    finally:
        os.close(opened)
