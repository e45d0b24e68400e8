"""HTTP clients: one, many at once, and those that hang up."""

import http.client
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from connection_slots.testing.waiting import DEADLINE


class Server(Protocol):
    """What listens on a port of this machine."""

    port: int


@dataclass(frozen=True)
class Response:
    """An answer, and the seconds that the client waited for it. Names of headers are lower-case."""

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float

    def json(self) -> Any:
        """Return the decoded body."""
        return json.loads(self.body)


class Client:
    """An HTTP client that looks like a proxy which ended TLS."""

    def __init__(self, port: int, *, keep_alive: bool = False) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
        self._headers = {"X-Forwarded-Proto": "https"}
        if not keep_alive:
            self._headers["Connection"] = "close"

    def get(self, path: str) -> Response:
        """Request `path`. Raises OSError or http.client.HTTPException where no answer comes."""
        began = time.monotonic()
        self._connection.request("GET", path, headers=self._headers)
        got = self._connection.getresponse()
        headers = {name.lower(): value for name, value in got.getheaders()}
        return Response(got.status, headers, got.read(), time.monotonic() - began)

    def close(self) -> None:
        """Close the TCP connection."""
        self._connection.close()


def load(
    server: Server, path: str, *, clients: int, requests: int, keep_alive: bool = False
) -> list[Response]:
    """Send `requests` requests from each of `clients` clients, which all begin together."""
    together = threading.Barrier(clients)

    def send(_: int) -> list[Response]:
        client = Client(server.port, keep_alive=keep_alive)
        together.wait(DEADLINE)
        try:
            return [client.get(path) for _ in range(requests)]
        finally:
            client.close()

    with ThreadPoolExecutor(clients) as threads:
        return [response for each in threads.map(send, range(clients)) for response in each]


def statuses(responses: list[Response]) -> dict[int, int]:
    """Return how often each status was answered."""
    return dict(Counter(response.status for response in responses))


@dataclass
class Answers:
    """What a crowd was answered: the beginning and length in seconds, and the status or error."""

    answers: list[tuple[float, float, int | str]] = field(default_factory=list)

    def counts(self, since: float = 0.0) -> dict[int | str, int]:
        """Return how often each status or error came for requests that began after `since`."""
        return dict(Counter(answer for began, _, answer in self.answers if began > since))

    def slowest(self) -> float:
        """Return the longest time in seconds that a client waited."""
        return max(seconds for _, seconds, _ in self.answers)


@contextmanager
def crowd(server: Server, path: str, *, clients: int) -> Iterator[Answers]:
    """Request `path` from so many clients, again and again until the end of the block."""
    found = Answers()
    stop = threading.Event()

    def send() -> None:
        while not stop.is_set():
            client, began = Client(server.port), time.monotonic()
            answer: int | str
            try:
                answer = client.get(path).status
            except (OSError, http.client.HTTPException) as error:
                answer = type(error).__name__
                time.sleep(0.05)
            finally:
                client.close()
            found.answers.append((began, time.monotonic() - began, answer))

    threads = [threading.Thread(target=send) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        stop.set()
        for thread in threads:
            thread.join(2 * DEADLINE)


def hang_up(server: Server, path: str, *, after: float, times: int) -> None:
    """Request `path` and close the connection `after` seconds, from 10 clients at a time."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Forwarded-Proto: https\r\n\r\n"

    def send(_: int) -> None:
        with socket.create_connection(("127.0.0.1", server.port), DEADLINE) as client:
            client.sendall(request.encode())
            time.sleep(after)

    with ThreadPoolExecutor(10) as threads:
        list(threads.map(send, range(times)))
