"""Each event is one JSON line, and all lines of a request have its id."""

import http.client
import json
from typing import Any

from connection_slots.testing import StartGunicorn
from connection_slots.testing.server import Gunicorn, wait_for


def lines(server: Gunicorn) -> list[dict[str, Any]]:
    return [json.loads(line) for line in server.log.read_text().splitlines()]


def request(server: Gunicorn, path: str, **headers: str) -> str:
    """Request `path` and return the id in the response."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("GET", path, headers={"X-Forwarded-Proto": "https"} | headers)
    response = connection.getresponse()
    response.read()
    connection.close()
    return str(response.headers["X-Request-ID"])


def test_lines_of_a_request_have_its_id(gunicorn: StartGunicorn) -> None:
    server = gunicorn(WEB_CONCURRENCY="1")
    first, second = (request(server, "/nowhere/") for _ in range(2))
    assert first != second

    def found(request_id: str) -> list[str]:
        return [one["logger"] for one in lines(server) if one.get("request_id") == request_id]

    for each in (first, second):
        wait_for(lambda each=each: len(found(each)) == 2, "both lines")  # type: ignore[misc]
        assert sorted(found(each)) == ["django.request", "gunicorn.access"]
    (access,) = [one for one in lines(server) if one.get("path") == "/nowhere/"][-1:]
    assert (access["method"], access["status"]) == ("GET", 404)


def test_id_of_a_trusted_proxy_is_kept(gunicorn: StartGunicorn) -> None:
    assert request(gunicorn(), "/livez", **{"X-Request-ID": "from-the-proxy"}) == "from-the-proxy"


def test_id_of_a_client_is_replaced(gunicorn: StartGunicorn) -> None:
    server = gunicorn(FORWARDED_ALLOW_IPS="192.0.2.0/24")
    assert request(server, "/livez", **{"X-Request-ID": "made-up"}) != "made-up"
