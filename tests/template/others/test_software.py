"""The promise holds with other software: connections are bounded, and reused.

The settings module (`--ds tests.others.settings.NAME`) names the software.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest
from django.conf import settings

from connection_slots.testing import StartGunicorn
from connection_slots.testing.clients import Response, load, statuses
from connection_slots.testing.sampler import sampling
from connection_slots.testing.server import Gunicorn

SOFTWARE = os.environ["DJANGO_SETTINGS_MODULE"].rpartition(".")[2]
PATHS = {
    "drf": ["/others/api"],
    "postgis": ["/others/places"],
}
PAGES = ["/others/page"]
if settings.GUNICORN_WORKER_CLASS == "asgi":
    PAGES.append("/others/async-page")

WORKERS, SLOTS = 2, 4
BOUND = WORKERS * SLOTS
CLIENTS, REQUESTS = 20, 10
SOCKETS = 3 * BOUND
PROMISED = 5  # connections opened per 100 requests, at most, after a warm-up


@pytest.fixture
def server(gunicorn: StartGunicorn) -> Gunicorn:
    arguments = ["tests.others.routing:application"] if SOFTWARE == "channels" else []
    return gunicorn(*arguments, WEB_CONCURRENCY=str(WORKERS), DATABASE_SLOTS=str(SLOTS))


@pytest.mark.parametrize("path", PATHS.get(SOFTWARE, PAGES))
def test_connections_are_bounded_and_reused(
    server: Gunicorn, path: str, record_property: Callable[[str, object], None]
) -> None:
    with ExitStack() as stack:
        warm = [load(server, path, clients=CLIENTS, requests=3)]
        if SOFTWARE == "channels":
            ask = stack.enter_context(websockets(server))
            ask()
        before = used(warm[0]) | {f"{c.pid} {c.started}" for c in server.connections()}
        with sampling(server) as samples:
            responses = load(server, path, clients=CLIENTS, requests=REQUESTS)
            during = ask() if SOFTWARE == "channels" else set()
            responses += load(server, path, clients=CLIENTS, requests=REQUESTS, keep_alive=True)
    seen = used(responses) | during | {f"{pid} {start}" for pid, start in samples.opened}
    opened = len(seen - before)
    record_property("requests", len(responses))
    record_property("bound", BOUND)
    record_property("peak", samples.peak)
    record_property("opened", opened)
    assert statuses(responses) == {200: 2 * CLIENTS * REQUESTS}, server.log.read_text()[-3000:]
    assert 1 <= samples.peak <= BOUND
    assert opened <= len(responses) * PROMISED / 100
    assert_software_worked(responses)
    assert " blocks all greenlets " not in server.log.read_text()


def used(responses: list[Response]) -> set[str]:
    """Return the connections that served these requests."""
    return {
        one
        for response in responses
        for one in response.headers.get("x-connections", "").split(",")
        if one
    }


def assert_software_worked(responses: list[Response]) -> None:
    """Assert that the software did something, where that can be seen from outside."""
    if SOFTWARE in {"sentry", "opentelemetry"}:
        assert max(int(each.headers["x-sent"]) for each in responses) > len(responses)
    if SOFTWARE == "opentelemetry":
        assert {each.headers["x-commented"] for each in responses} == {"True"}
    elif SOFTWARE == "toolbar":
        assert all(b"djDebug" in each.body for each in responses)
    elif SOFTWARE == "drf":
        assert all(each.json()["results"] for each in responses)


@contextmanager
def websockets(server: Gunicorn) -> Iterator[Callable[[], set[str]]]:
    """Connect SOCKETS clients. Return a function that lets each of them use the database."""
    from websockets.sync.client import connect

    with ExitStack() as stack:
        url = f"ws://127.0.0.1:{server.port}/socket"
        sockets = [stack.enter_context(connect(url)) for _ in range(SOCKETS)]

        def ask() -> set[str]:
            for socket in sockets:
                socket.send("{}")
            return {one for socket in sockets for one in json.loads(socket.recv(30))}

        yield ask
