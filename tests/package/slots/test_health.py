"""health.py: the probes, in synchronous and in asynchronous services."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import iscoroutinefunction
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory, override_settings

from connection_slots.health import HealthMiddleware
from tests.package.slots.conftest import Actor

NewActor = Callable[[], Actor]
Ask = Callable[..., HttpResponse]

GREEN = type(threading.Lock()).__module__ != "_thread"


def view(request: HttpRequest) -> HttpResponse:
    """Answer every request but the probes."""
    return HttpResponse("from the view")


async def async_view(request: HttpRequest) -> HttpResponse:
    """Answer every request but the probes."""
    return HttpResponse("from the view")


def get(path: str, method: str = "GET") -> HttpResponse:
    """Ask a synchronous service."""
    response: Any = HealthMiddleware(view)(RequestFactory().generic(method, path))
    assert isinstance(response, HttpResponse)
    return response


def get_async(path: str, method: str = "GET") -> HttpResponse:
    """Ask an asynchronous service."""
    answer: Any = HealthMiddleware(async_view)(RequestFactory().generic(method, path))
    response = asyncio.run(answer)
    assert isinstance(response, HttpResponse)
    return response


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Ask either of the services."""
    if request.param == "async" and GREEN:
        pytest.skip("ASGI runs on OS threads")
    return get if request.param == "sync" else get_async


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that refuses connections."""
    monkeypatch.setattr("connection_slots.backend.base.RESTART_TAKES", 0.0)
    monkeypatch.setitem(connections.settings["default"], "PORT", "1")


def test_middleware_fits_its_service() -> None:
    assert not iscoroutinefunction(HealthMiddleware(view))
    assert iscoroutinefunction(HealthMiddleware(async_view))


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_probe_is_answered(path: str, method: str, ask: Ask, pool: Any) -> None:
    response = ask(path, method)
    assert response.status_code == 200
    assert response.content == b"ok\n"


def test_livez_takes_no_slot(ask: Ask, pool: Any) -> None:
    ask("/livez")
    assert pool.counts()["free"] == pool.size


def test_readyz_releases_its_slot(ask: Ask, pool: Any) -> None:
    for _ in range(3):
        ask("/readyz")
    assert pool.counts()["held"] == 0
    assert sum(len(slot.resources) for slot in pool.slots) == 1


def test_database_that_is_down(ask: Ask, pool: Any, unreachable: None) -> None:
    response = ask("/readyz")
    assert response.status_code == 503
    assert int(response["Retry-After"]) > 0
    assert b"refused" not in response.content
    assert ask("/livez").status_code == 200


def test_slots_that_are_all_in_use(ask: Ask, pool: Any, actor: NewActor) -> None:
    pool.timeout = 0.1
    for one in (actor(), actor()):
        one.do(lambda: transaction.set_autocommit(False))
    assert ask("/readyz").status_code == 503
    assert ask("/livez").status_code == 200


@pytest.mark.parametrize("path", ["/", "/livez/", "/readyz/", "/a/livez", "/readyz2"])
def test_other_path_is_passed_on(path: str, ask: Ask) -> None:
    assert ask(path).content == b"from the view"


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_probe_is_only_read(path: str, ask: Ask) -> None:
    assert ask(path, "POST").status_code == 405


def test_draining_service_is_not_ready(ask: Ask, pool: Any, tmp_path: Path) -> None:
    drain = tmp_path / "draining"
    with override_settings(DRAIN_FILE=str(drain)):
        assert ask("/readyz").status_code == 200
        drain.touch()
        assert ask("/readyz").status_code == 503
        assert ask("/readyz").content == b"draining\n"
        assert ask("/livez").status_code == 200
