"""Locks between processes."""

from pathlib import Path

import pytest

from devdb import DevdbError
from devdb.locks import Users, exclusive


def test_exclusive_times_out(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with exclusive(lock, 1), pytest.raises(DevdbError, match=r"another devdb has held .* for 0 s"):
        exclusive(lock, 0.1).__enter__()


def test_exclusive_is_free_afterwards(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with pytest.raises(ZeroDivisionError), exclusive(lock, 1):
        raise ZeroDivisionError
    with exclusive(lock, 0.1):
        pass


def test_last_user_is_told(tmp_path: Path) -> None:
    first, second = Users(tmp_path / "users"), Users(tmp_path / "users")
    first.join()
    first.join()
    second.join()
    assert first.leave() is False
    assert second.leave() is True
    assert second.leave() is False
