"""Fixtures: a running server, and a project of its own for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from devdb import Cluster
from tests.package.devdb.support import Project, clean_environment


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the variables that devdb reads."""
    for name in ("DATABASE_URL", "DEBUG", "SECRET_KEY", "ENV_FILE", "DEVDB_NAME", "DEVDB_BINARIES"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a server that tests share and leave running."""
    directory = tmp_path_factory.mktemp("running")
    with Cluster(directory, name="shop", throw_away=True, max_connections=20) as cluster:
        yield cluster


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Return a server of the test's own, started."""
    with Cluster(tmp_path / "cluster", name="shop") as cluster:
        yield cluster


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """Return a project named my-shop. Its server must have stopped when the test ends."""
    root = tmp_path / "project"
    root.mkdir()
    (root / "pyproject.toml").write_text('[project]\nname = "my-shop"\n')
    project = Project(root, clean_environment())
    yield project
    if (pid := project.cluster.pid) is not None:
        project.cluster.kill()
        pytest.fail(f"a server was left running, process {pid}")
