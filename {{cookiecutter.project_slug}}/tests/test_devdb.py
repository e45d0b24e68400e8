"""devdb.py: the PostgreSQL of development and tests."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import dj_database_url
import pytest
from django.db import OperationalError, connection

import devdb
from tests.server import ROOT

pytestmark = pytest.mark.usefixtures("live_database")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[devdb.Cluster]:
    cluster = devdb.Cluster(tmp_path_factory.mktemp("cluster"), throw_away=False)
    cluster.start()
    yield cluster
    cluster.stop()


def ask(url: str, *statements: str, **changes: Any) -> Any:
    """The first column of the last statement's first row."""
    settings = {**connection.settings_dict, **dj_database_url.parse(url), **changes}
    asked = type(connection.copy())(settings | {"OPTIONS": {}, "CONN_MAX_AGE": 0})
    try:
        with asked.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchone()[0] if cursor.description else None
    finally:
        asked.close()


def test_the_role_is_no_superuser_and_may_create_databases(cluster: devdb.Cluster) -> None:
    assert ask(cluster.url, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is False
    ask(cluster.url, "CREATE DATABASE another", "DROP DATABASE another")


def test_only_its_password_opens_it(
    cluster: devdb.Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("database.backend.base.RESTART_TAKES", 0.0)
    with pytest.raises(OperationalError, match="password authentication failed"):
        ask(cluster.url, "SELECT 1", PASSWORD="wrong")  # noqa: S106
    assert ask(cluster.url, "SHOW password_encryption") == "scram-sha-256"


def test_only_this_machine_is_listened_to(cluster: devdb.Cluster) -> None:
    assert ask(cluster.url, "SHOW listen_addresses") == "127.0.0.1"
    socket_directory = (cluster.data / "postmaster.pid").read_text().splitlines()[4]
    assert socket_directory == ""


def test_data_survives_a_crash_and_the_address_stays(cluster: devdb.Cluster) -> None:
    ask(cluster.url, "CREATE TABLE kept AS SELECT 42 AS answer")
    url = cluster.url
    cluster.kill()
    cluster.start()
    assert cluster.url == url
    assert ask(url, "SELECT answer FROM kept") == 42


def test_a_second_devdb_uses_the_running_server(cluster: devdb.Cluster) -> None:
    second = devdb.Cluster(cluster.directory, throw_away=False)
    second.start()
    assert second.url == cluster.url
    second.stop()
    assert ask(cluster.url, "SELECT 1") == 1


def test_help_says_how_to_start() -> None:
    done = subprocess.run(
        [sys.executable, "devdb.py", "--help"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    assert "devdb.py run gunicorn" in done.stdout
