"""The server: who may connect, what survives, who shares it."""

import re
import shutil
import socket
from pathlib import Path

import psycopg
import pytest

from devdb import Cluster, DevdbError
from tests.package.devdb.support import ask


def test_role_is_no_superuser(running: Cluster) -> None:
    superuser = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"
    assert ask(running.url, superuser) is False
    assert ask(running.url, "SELECT current_user || '/' || current_database()") == "shop/shop"


def test_role_may_create_databases(running: Cluster) -> None:
    ask(running.url, "CREATE DATABASE another", "DROP DATABASE another")


def test_wrong_password_is_refused(running: Cluster) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        ask(running.url, "SELECT 1", password="wrong")
    assert ask(running.url, "SHOW password_encryption") == "scram-sha-256"
    with psycopg.connect(running.url) as connection:
        assert connection.pgconn.used_password


def test_superuser_cannot_connect(running: Cluster) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        ask(running.url, "SELECT 1", user="devdb_superuser")


def test_password_file_is_private(running: Cluster) -> None:
    assert (running.directory / "password").stat().st_mode & 0o777 == 0o600


def test_listens_on_loopback_only(running: Cluster) -> None:
    assert ask(running.url, "SHOW listen_addresses") == "127.0.0.1"


def test_has_no_unix_socket(running: Cluster) -> None:
    assert (running.data / "postmaster.pid").read_text().splitlines()[4] == ""


def test_encoding_is_utf8(running: Cluster) -> None:
    assert ask(running.url, "SHOW server_encoding") == "UTF8"


def test_max_connections_is_set(running: Cluster) -> None:
    assert ask(running.url, "SHOW max_connections") == "20"


def test_only_throw_away_skips_fsync(running: Cluster, cluster: Cluster) -> None:
    assert ask(running.url, "SHOW fsync") == "off"
    assert ask(cluster.url, "SHOW fsync") == "on"


def test_data_survives_kill(cluster: Cluster) -> None:
    ask(cluster.url, "CREATE TABLE kept AS SELECT 42 AS answer")
    url = cluster.url
    cluster.kill()
    assert cluster.pid is None
    cluster.start()
    assert cluster.url == url
    assert ask(url, "SELECT answer FROM kept") == 42


def test_data_survives_stop(cluster: Cluster) -> None:
    ask(cluster.url, "CREATE TABLE kept AS SELECT 42 AS answer")
    url = cluster.url
    cluster.stop()
    with Cluster(cluster.directory, name="shop") as again:
        assert again.url == url
        assert ask(url, "SELECT answer FROM kept") == 42


def test_start_twice_is_harmless(cluster: Cluster) -> None:
    pid = cluster.pid
    cluster.start()
    assert cluster.pid == pid


def test_stop_twice_is_harmless(cluster: Cluster) -> None:
    cluster.stop()
    cluster.stop()
    assert cluster.pid is None


def test_stop_without_start_is_harmless(tmp_path: Path) -> None:
    Cluster(tmp_path / "absent").stop()
    assert not (tmp_path / "absent").exists()


def test_taken_port_is_replaced(cluster: Cluster) -> None:
    port = cluster.port
    cluster.stop()
    with socket.create_server(("127.0.0.1", port)):
        cluster.start()
    assert cluster.port != port
    assert ask(cluster.url, "SELECT 1") == 1


def test_second_cluster_attaches(cluster: Cluster) -> None:
    second = Cluster(cluster.directory, name="shop")
    second.start()
    assert (second.url, second.pid) == (cluster.url, cluster.pid)
    second.stop()
    assert ask(cluster.url, "SELECT 1") == 1


def test_server_stops_with_last_user(cluster: Cluster) -> None:
    with Cluster(cluster.directory, name="shop") as second:
        cluster.stop()
        assert ask(second.url, "SELECT 1") == 1
    assert second.pid is None


def test_attached_cluster_can_kill(cluster: Cluster) -> None:
    with Cluster(cluster.directory, name="shop") as second:
        second.kill()
        assert (second.pid, cluster.pid) == (None, None)


def test_stale_pid_file_is_ignored(cluster: Cluster) -> None:
    status = (cluster.data / "postmaster.pid").read_text().splitlines()
    cluster.stop()
    # A crash of the machine leaves the file; its process id is now another process's, or nobody's.
    (cluster.data / "postmaster.pid").write_text("\n".join(["999999999", *status[1:]]) + "\n")
    if cluster.account:
        shutil.chown(cluster.data / "postmaster.pid", cluster.account)
    cluster.start()
    assert ask(cluster.url, "SELECT 1") == 1


def test_interrupted_creation_begins_anew(tmp_path: Path) -> None:
    unfinished = tmp_path / "cluster" / "data.new"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("15\n")
    with Cluster(tmp_path / "cluster") as cluster:
        assert ask(cluster.url, "SELECT 1") == 1
    assert not unfinished.exists()


def test_failed_creation_leaves_no_data(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "cluster", name="shop")
    cluster.name = "template1"  # PostgreSQL has a database of this name
    with pytest.raises(DevdbError, match=r"^postgres failed: .*already exists$"):
        cluster.start()
    assert not cluster.data.exists()
    assert not (cluster.directory / "data.new").exists()


def test_other_name_is_refused(cluster: Cluster) -> None:
    with pytest.raises(DevdbError, match="set DEVDB_NAME=shop, or delete"):
        Cluster(cluster.directory, name="other").start()


def test_failed_start_is_one_line(cluster: Cluster) -> None:
    cluster.stop()
    with (cluster.data / "postgresql.conf").open("a") as configuration:
        configuration.write("work_mem = nonsense\n")
    with pytest.raises(
        DevdbError, match=r"^PostgreSQL did not start: FATAL: .*/log says"
    ) as caught:
        cluster.start()
    assert "\n" not in str(caught.value)
    assert cluster.pid is None


def test_data_of_missing_version_is_refused(cluster: Cluster) -> None:
    cluster.stop()
    (cluster.data / "PG_VERSION").write_text("14\n")
    with pytest.raises(DevdbError, match="no PostgreSQL 14 "):
        Cluster(cluster.directory, name="shop").start()


@pytest.mark.parametrize("name", ["", "3d", "my-shop", "pg_shop", "postgres", "x" * 49, 'a"b'])
def test_unusable_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DevdbError, match=re.escape(f'the name "{name}" cannot be used')):
        Cluster(tmp_path, name=name)
