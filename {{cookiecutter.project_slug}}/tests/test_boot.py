"""gunicorn starts and reloads, or refuses to, with one clear message."""

import signal
import socket
from pathlib import Path

import pytest
from connection_slots.testing import StartGunicorn
from connection_slots.testing.configuration import DRIVER, blocking_configuration, unknown_settings
from connection_slots.testing.server import free_port, wait_for
from django.conf import settings

OTHER_CLASS = "gunicorn.workers.base.Worker"


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "0"), ("WEB_CONCURRENCY", "0"), ("SECRET_KEY", None), ("DATABASE_URL", "x")],
)
def test_wrong_variable_is_named(gunicorn: StartGunicorn, name: str, value: str | None) -> None:
    said = gunicorn(wait=False, **{name: value}).refusal()
    assert said.count(name) == 1
    assert name in said.splitlines()[-1]


def test_leaky_configuration_is_refused(gunicorn: StartGunicorn) -> None:
    other = f"gunicorn would start {OTHER_CLASS}"
    assert other in gunicorn("-k", OTHER_CLASS, wait=False).refusal()
    assert other in gunicorn(wait=False, GUNICORN_CMD_ARGS=f"-k {OTHER_CLASS}").refusal()
    assert "preload_app" in gunicorn("--preload", wait=False).refusal()


def test_port_in_use_is_named(gunicorn: StartGunicorn) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"port {port} is in use" in gunicorn(wait=False, PORT=port).refusal()


@pytest.mark.skipif(
    settings.GUNICORN_WORKER_CLASS not in {"gevent", "eventlet"}, reason="only with greenlets"
)
def test_driver_that_blocks_is_refused(gunicorn: StartGunicorn, tmp_path: Path) -> None:
    blocking = str(blocking_configuration(tmp_path))
    server = gunicorn("-c", blocking, wait=False, WEB_CONCURRENCY="1")
    assert f"{DRIVER} blocks the whole worker" in server.refusal()


def test_service_lives_without_database(gunicorn: StartGunicorn) -> None:
    nowhere = f"postgresql://nobody:nothing@127.0.0.1:{free_port()}/none"
    server = gunicorn(DATABASE_URL=nowhere, WEB_CONCURRENCY="1")
    for path in ("/readyz", "/test/query"):
        refused = server.get(path)
        assert refused.status == 503
        assert int(refused.headers["retry-after"]) > 0
    assert server.get("/livez").status == 200


def test_failed_reload_keeps_workers(gunicorn: StartGunicorn, tmp_path: Path) -> None:
    file = tmp_path / "environment"
    file.touch()
    server = gunicorn(ENV_FILE=str(file), WEB_CONCURRENCY="1")
    workers = server.workers()
    file.write_text("DATABASE_SLOT_TIMEOUT=0\n")
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "does not reload" in server.log.read_text(), "the reload to be refused")
    assert "DATABASE_SLOT_TIMEOUT" in server.log.read_text()
    assert server.get("/readyz").status == 200
    assert server.workers() == workers


def test_configuration_has_only_known_settings() -> None:
    assert unknown_settings() == set()
