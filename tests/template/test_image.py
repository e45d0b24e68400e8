"""The image is built and run for real: as its user, on a read-only root file system."""

import http.client
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from baking.combinations import Combination
from baking.project import generate
from connection_slots.testing.server import free_port, wait_for
from devdb import Cluster
from tests.template.conftest import Bake
from tests.template.images import PYTHON, Image, Store, missing, process_1

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
    pytest.mark.xdist_group("images"),
]

# One for each gateway. Their Python is that of Debian.
COMBINATIONS = [
    Combination("gthread", "psycopg2", "5.2", "web"),
    Combination("asgi", "psycopg", "5.2", "api"),
]
# The table that /notes/ reads first, and the answer to a client that is not signed in.
BLOCKED = {"web": ("django_session", 302), "api": ("notes_note", 200)}
HEADERS = {"X-Forwarded-Proto": "https", "Cookie": "sessionid=unknown-session"}
SECRET = "a-secret-that-belongs-into-no-image-0123456789"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The images that the Dockerfiles begin with."""
    made = Store(tmp_path_factory.mktemp("images"))
    made.make_base_images(
        f"docker.io/library/python:{PYTHON}-slim",
        "docker.io/library/debian:stable-slim",
        "ghcr.io/astral-sh/uv:0.13",
    )
    return made


@pytest.fixture(scope="module", params=COMBINATIONS, ids=str)
def image(
    request: pytest.FixtureRequest, store: Store, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Image]:
    """The image of a project."""
    project = generate(tmp_path_factory.mktemp("bake"), **request.param.answers)
    subprocess.run(["uv", "lock", "--quiet"], cwd=project, check=True)  # noqa: S607
    (project / ".env").write_text(f"SECRET_KEY={SECRET}\n")
    name = f"service:{request.param.worker_class}"
    store.build(project, name)
    with store.mounted(name) as mounted:
        yield mounted


def test_image_runs_as_a_user(image: Image) -> None:
    assert image.user == "10001"
    assert image.command == ["gunicorn"]


def test_image_has_no_secret(image: Image) -> None:
    assert not [value for value in image.environment if "SECRET" in value or "URL" in value]
    for path in (image.root / "app").rglob("*"):
        if path.is_file() and ".venv" not in path.parts:
            assert SECRET.encode() not in path.read_bytes(), path


def test_image_has_no_tools(image: Image) -> None:
    places = ("app/.venv/bin", "bin", "usr/bin", "usr/local/bin")
    programs = {path.name for place in places for path in (image.root / place).iterdir()}
    assert not programs & {"cc", "gcc", "git", "make", "pg_ctl", "pytest", "ruff", "uv"}
    left = {path.name for path in (image.root / "app").iterdir()}
    assert not left & {".env", ".git", "compose.yaml", "deploy", "tests"}


def test_image_serves_and_stops(image: Image, tmp_path: Path) -> None:
    port = free_port()
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    with Cluster(tmp_path / "database", name="image", throw_away=True) as cluster:
        (secrets / "database-url").write_text(cluster.url + "\n")
        (secrets / "secret-key").write_text(SECRET + "\n")
        environment = {
            "ALLOWED_HOSTS": "localhost",
            "DATABASE_URL_FILE": "/run/secrets/service/database-url",
            "GUNICORN_CMD_ARGS": f"--bind 127.0.0.1:{port}",
            "PORT": str(port),
            "SECRET_KEY_FILE": "/run/secrets/service/secret-key",
        }
        said = image.run(secrets, "python", "manage.py", "migrate", **environment)
        assert "Applying notes.0001_initial... OK" in said
        said = image.run(secrets, "sh", "-c", "id -u; touch /app/x || touch /tmp/x", **environment)
        assert said.split()[0] == image.user
        assert "Read-only file system" in said

        server = image.start(secrets, **environment)
        try:
            wait_for(lambda: get(port, "/readyz") == 200, "the image to serve")
            with psycopg.connect(cluster.url) as blocker, ThreadPoolExecutor(1) as thread:
                table, status = BLOCKED["web" if (image.root / "app/accounts").exists() else "api"]
                blocker.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
                late = thread.submit(get, port, "/notes/")
                wait_for(lambda: is_waiting(blocker), "the request to wait for the lock")
                os.kill(process_1(server), signal.SIGTERM)
                time.sleep(1)  # gunicorn stops meanwhile, but for this request
                assert server.poll() is None
                blocker.rollback()
                assert late.result() == status
            said, _ = server.communicate(timeout=30)
            assert server.returncode == 0, said
        finally:
            server.kill()
            server.wait()


def test_pgbouncer_image_runs(store: Store, bake: Bake, tmp_path: Path) -> None:
    store.build(bake(COMBINATIONS[0]) / "deploy" / "pgbouncer", "pgbouncer")
    with store.mounted("pgbouncer") as image:
        assert image.user == "10002"
        assert image.command[0] == "pgbouncer"
        assert "PgBouncer 1." in image.run(tmp_path, "pgbouncer", "--version")


def is_waiting(connection: "psycopg.Connection[Any]") -> bool:
    """Return True if another session waits for a lock."""
    row = connection.execute("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)").fetchone()
    return bool(row and row[0])


def get(port: int, path: str) -> int:
    """Return the status of a request that a proxy has got by HTTPS, or 0 if nobody listens."""
    client = http.client.HTTPConnection("localhost", port, timeout=30)
    try:
        client.request("GET", path, headers=HEADERS)
        return client.getresponse().status
    except OSError:
        return 0
    finally:
        client.close()
