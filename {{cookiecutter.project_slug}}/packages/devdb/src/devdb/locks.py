"""Locks between processes, which the system releases when their holder ends in any way."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from devdb.errors import DevdbError


@contextlib.contextmanager
def exclusive(path: Path, timeout: float) -> Iterator[None]:
    """Hold the lock `path`. Raise DevdbError where another holds it for `timeout` seconds."""
    opened = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + timeout
        while not _try(opened, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                raise DevdbError(
                    f"another devdb has held {path} for {timeout:.0f} s: end it, then try again."
                )
            time.sleep(0.05)
        yield
    finally:
        os.close(opened)


class Users:
    """Those that use one server, in any process: each holds a shared lock on one file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened: int | None = None

    def join(self) -> None:
        """Become a user, at most once."""
        if self._opened is None:
            self._opened = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._opened, fcntl.LOCK_SH)

    def leave(self) -> bool:
        """Be no user any more. Return True where no other is left."""
        if self._opened is None:
            return False
        try:
            return _try(self._opened, fcntl.LOCK_EX)
        finally:
            os.close(self._opened)
            self._opened = None


def _try(opened: int, operation: int) -> bool:
    try:
        fcntl.flock(opened, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
