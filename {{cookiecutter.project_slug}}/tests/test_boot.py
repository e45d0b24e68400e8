"""How gunicorn starts: with one clear message and non-zero where this service could not run."""

import socket
from pathlib import Path

import pytest

from database import WORKER_CLASS
from tests.server import DEADLINE, {{ 'ROOT, ' if cookiecutter.__green else '' }}Gunicorn, free_port, serving

pytestmark = pytest.mark.usefixtures("live_database")

OTHER = "gunicorn.workers.base.Worker"


def refusal(log: Path, *arguments: str, **environment: str | None) -> str:
    """What a gunicorn says that does not start."""
    server = Gunicorn(log, *arguments, **environment)
    try:
        assert server.process.wait(DEADLINE) != 0
    finally:
        server.stop()
    said = log.read_text()
    assert "Traceback" not in said
    assert "Listening at" not in said
    return said


def test_a_missing_variable_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "log", SECRET_KEY=None).count("SECRET_KEY") == 1


@pytest.mark.parametrize(
    ("name", "value"), [("PORT", "http"), ("PORT", "0"), ("WEB_CONCURRENCY", "0")]
)
def test_a_wrong_variable_is_named_in_one_line(name: str, value: str, tmp_path: Path) -> None:
    said = refusal(tmp_path / "log", **{name: value})
    assert name in said
    assert len(said.splitlines()) == 1


def test_another_worker_class_is_refused(tmp_path: Path) -> None:
    said = refusal(tmp_path / "log", "-k", OTHER)
    assert f"wired for the {WORKER_CLASS} worker class, not {OTHER}" in said
    again = refusal(tmp_path / "log", GUNICORN_CMD_ARGS=f"-k {OTHER}")
    assert f"wired for the {WORKER_CLASS} worker class, not {OTHER}" in again


def test_preload_is_refused(tmp_path: Path) -> None:
    assert "preload_app" in refusal(tmp_path / "log", GUNICORN_CMD_ARGS="--preload")


{% if cookiecutter.worker_class == 'gthread' %}
def test_threads_beside_slots_are_refused(tmp_path: Path) -> None:
    assert "DATABASE_SLOTS" in refusal(tmp_path / "log", "--threads", "32")


{% endif %}
def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"port {port} is in use" in refusal(tmp_path / "log", PORT=port)


def test_without_its_database_the_service_lives_and_is_not_ready(tmp_path: Path) -> None:
    nowhere = f"postgresql://nobody:nothing@127.0.0.1:{free_port()}/none"
    with serving(tmp_path / "log", DATABASE_URL=nowhere, WEB_CONCURRENCY="1") as server:
        assert server.get("/livez").status == 200
        not_ready = server.get("/readyz")
        assert not_ready.status == 503
        assert "retry-after" in not_ready.headers
        assert server.get("/query").status == 503
        assert server.get("/livez").status == 200
{% if cookiecutter.__green %}


def test_a_driver_that_blocks_is_refused(tmp_path: Path) -> None:
    blocking = tmp_path / "gunicorn.conf.py"
{% if cookiecutter.__psycogreen %}
    blocking.write_text((ROOT / "gunicorn.conf.py").read_text() + "\n\ndel post_fork\n")
{% else %}
    blocking.write_text("import psycopg\n" + (ROOT / "gunicorn.conf.py").read_text())
{% endif %}
    server = Gunicorn(tmp_path / "log", "-c", str(blocking))
    try:
        assert server.process.wait(DEADLINE) != 0
    finally:
        server.stop()
    assert "{{ cookiecutter.database_driver }} blocks the whole worker" in (tmp_path / "log").read_text()
{% endif %}
