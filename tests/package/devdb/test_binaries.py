"""PostgreSQL's programs: which are chosen, and who can run them."""

import os
import shutil
from pathlib import Path

import pytest

from devdb import Cluster, DevdbError, binaries, find_binaries, wheel_binaries
from tests.package.devdb.support import ask


def make_binaries(directory: Path, version: str) -> Path:
    """Write programs that only say their version."""
    directory.mkdir(parents=True)
    for program in ("initdb", "postgres"):
        path = directory / program
        path.write_text(f"#!/bin/sh\necho '{program} (PostgreSQL) {version}'\n")
        path.chmod(0o755)
    return directory


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a directory that alone is searched: no PostgreSQL in PATH, no wheel."""
    monkeypatch.setattr(binaries, "LOCAL", (f"{tmp_path}/*/bin",))
    monkeypatch.setattr(binaries, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    return tmp_path


def test_newest_is_chosen(machine: Path) -> None:
    make_binaries(machine / "9" / "bin", "9.6.24")
    newest = make_binaries(machine / "17" / "bin", "17.2 (Debian 17.2-1)")
    make_binaries(machine / "16" / "bin", "16.4")
    assert find_binaries() == newest


def test_version_of_data_is_chosen(machine: Path) -> None:
    older = make_binaries(machine / "16" / "bin", "16.4")
    make_binaries(machine / "17" / "bin", "17.2")
    assert find_binaries(16) == older


def test_path_is_searched(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = make_binaries(machine / "elsewhere", "16.4")
    monkeypatch.setenv("PATH", str(found))
    assert find_binaries() == found


@pytest.mark.parametrize("version", ["14.9", "nonsense"])
def test_unusable_local_programs_are_refused(machine: Path, version: str) -> None:
    make_binaries(machine / "some" / "bin", version)
    with pytest.raises(DevdbError, match=r"^no PostgreSQL 15 or newer on this machine.*$"):
        find_binaries()


def test_given_directory_wins(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_binaries(machine / "17" / "bin", "17.2")
    given = make_binaries(machine / "given", "16.4")
    monkeypatch.setenv("DEVDB_BINARIES", str(given))
    assert find_binaries() == given


def test_given_directory_without_programs_is_refused(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_binaries(machine / "17" / "bin", "17.2")
    monkeypatch.setenv("DEVDB_BINARIES", str(machine))
    with pytest.raises(DevdbError, match=r"^DEVDB_BINARIES=.* has no working postgres and initdb"):
        find_binaries()


def test_given_directory_must_fit_data(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEVDB_BINARIES", str(make_binaries(machine / "given", "16.4")))
    with pytest.raises(DevdbError, match=r"is PostgreSQL 16, and the data needs 15\.$"):
        find_binaries(15)


def test_wheel_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = wheel_binaries()
    assert wheel is not None
    monkeypatch.setenv("DEVDB_BINARIES", str(wheel))
    with Cluster(tmp_path, throw_away=True) as cluster:
        assert cluster.binaries == wheel
        version = int(ask(cluster.url, "SHOW server_version_num")) // 10000
        assert version == binaries.major_version(wheel)
        assert ask(cluster.url, "SELECT upper('é')") == "É"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another user")
def test_unreachable_programs_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = wheel_binaries()
    assert wheel is not None
    package = wheel.parents[1]
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    hidden = closed / package.name / wheel.parent.name
    shutil.copytree(wheel.parent, hidden, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, closed / libraries.name)
    monkeypatch.setenv("DEVDB_BINARIES", str(hidden / "bin"))
    with Cluster(tmp_path / "cluster", throw_away=True) as cluster:
        assert ask(cluster.url, "SELECT 1") == 1
        used = binaries.reachable(cluster.binaries, cluster.account)
    copy = used.parents[2]
    assert copy.name.startswith("devdb-binaries-")
    shutil.rmtree(copy)
