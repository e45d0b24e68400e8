"""This project's gunicorn as a process, clients for it, and an eye on its connections."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from django.conf import settings
from django.db import connection

ROOT = Path(settings.BASE_DIR)
APPLICATION_NAME = settings.DATABASES["default"]["OPTIONS"]["application_name"]
DEADLINE = 20.0  # seconds for whatever should take less than one
PRODUCTION = {
    "SECRET_KEY": "correct-horse-battery-staple-" * 2,
    "ALLOWED_HOSTS": "127.0.0.1",
    "DEBUG": "false",
}


@dataclass(frozen=True)
class Response:
    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float

    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """An HTTP client that comes through a proxy which ended TLS."""

    def __init__(self, port: int, *, keep_alive: bool = False) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
        self._headers = {"X-Forwarded-Proto": "https"}
        if not keep_alive:
            self._headers["Connection"] = "close"

    def get(self, path: str) -> Response:
        began = time.monotonic()
        self._connection.request("GET", path, headers=self._headers)
        got = self._connection.getresponse()
        headers = {name.lower(): value for name, value in got.getheaders()}
        return Response(got.status, headers, got.read(), time.monotonic() - began)

    def close(self) -> None:
        self._connection.close()


class Gunicorn:
    """gunicorn with the project's own gunicorn.conf.py, on a free port."""

    def __init__(self, log: Path, *arguments: str, **environment: str | None) -> None:
        self.port = free_port()
        self.log = log
        self._output: IO[bytes] = log.open("wb")
        wanted = {
            "PATH": os.environ["PATH"],
            "DATABASE_URL": shared_database_url(),
            "DJANGO_SETTINGS_MODULE": "tests.probe.settings",
            "PORT": str(self.port),
            **PRODUCTION,
            **environment,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", *arguments],
            cwd=ROOT,
            env={name: value for name, value in wanted.items() if value is not None},
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )

    def wait_until_it_serves(self) -> None:
        def serves() -> bool:
            assert self.process.poll() is None, f"gunicorn ended:\n{self.log.read_text()}"
            try:
                return self.get("/livez").status == 200
            except OSError:
                return False

        wait_for(serves, f"gunicorn to serve; see {self.log}")

    def get(self, path: str) -> Response:
        client = Client(self.port)
        try:
            return client.get(path)
        finally:
            client.close()

    def backends(self) -> list["Backend"]:
        """The connections that this server's processes have open."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pid, backend_start::text, application_name,"
                " coalesce(state = 'active', false)"
                " FROM pg_stat_activity WHERE application_name ^@ %s",
                [f"{APPLICATION_NAME}-{self.port}-"],
            )
            return [Backend(*row) for row in cursor.fetchall()]

    def terminate_backends(self) -> int:
        """End all of them, as an administrator or a failover does. How many there were."""
        pids = [backend.pid for backend in self.backends()]
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", [pids])
        wait_for(lambda: not {b.pid for b in self.backends()} & set(pids), "the backends to end")
        return len(pids)

    def wait_until_it_rests(self) -> None:
        """Until what clients left behind has ended: no query for a while."""
        busy_at = time.monotonic()

        def rests() -> bool:
            nonlocal busy_at
            if any(backend.active for backend in self.backends()):
                busy_at = time.monotonic()
            return time.monotonic() - busy_at > 0.5

        wait_for(rests, "abandoned queries to end")

    def workers(self) -> set[int]:
        """The pids of the worker processes."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return {int(pid) for pid in children.split()}

    def reload(self) -> None:
        """Replace the workers, and wait until the old ones have gone."""
        old = self.workers()
        self.process.send_signal(signal.SIGHUP)
        wait_for(lambda: not old & self.workers(), "the old workers to end")
        self.wait_until_it_serves()

    def stop(self) -> int:
        """Stop gracefully; kill if that fails. The exit code."""
        self.process.terminate()
        try:
            return self.process.wait(DEADLINE)
        finally:
            self.process.kill()
            self._output.close()


@contextmanager
def serving(log: Path, *arguments: str, **environment: str | None) -> Iterator[Gunicorn]:
    """A gunicorn that serves, stopped in the end."""
    server = Gunicorn(log, *arguments, **environment)
    try:
        server.wait_until_it_serves()
        yield server
    finally:
        server.stop()


def load(
    server: Gunicorn, path: str, *, clients: int, requests: int, keep_alive: bool = False
) -> list[Response]:
    """`requests` requests from each of `clients` clients at once."""
    together = threading.Barrier(clients)

    def one(_: int) -> list[Response]:
        client = Client(server.port, keep_alive=keep_alive)
        together.wait(DEADLINE)
        try:
            return [client.get(path) for _ in range(requests)]
        finally:
            client.close()

    with ThreadPoolExecutor(clients) as threads:
        return [response for each in threads.map(one, range(clients)) for response in each]


@dataclass
class Asked:
    """What a crowd of clients was answered."""

    answers: list[tuple[float, float, int | str]] = field(default_factory=list)

    def counts(self, since: float = 0.0) -> dict[int | str, int]:
        """How often each status, or error, came for requests begun after `since`."""
        return dict(Counter(answer for began, _, answer in self.answers if began > since))

    def slowest(self) -> float:
        return max(seconds for _, seconds, _ in self.answers)


@contextmanager
def crowd(server: Gunicorn, path: str, *, clients: int) -> Iterator[Asked]:
    """Clients that ask for `path`, again and again, while the context lasts."""
    asked = Asked()
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            began = time.monotonic()
            answer: int | str
            try:
                answer = server.get(path).status
            except (OSError, http.client.HTTPException) as error:
                answer = type(error).__name__
                time.sleep(0.05)
            asked.answers.append((began, time.monotonic() - began, answer))

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield asked
    finally:
        stop.set()
        for thread in threads:
            thread.join(3 * DEADLINE)


def hang_up(server: Gunicorn, path: str, *, after: float, times: int) -> None:
    """Ask for `path`, and leave after so many seconds without reading. 10 clients at a time."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Forwarded-Proto: https\r\n\r\n"

    def one(_: int) -> None:
        with socket.create_connection(("127.0.0.1", server.port), DEADLINE) as client:
            client.sendall(request.encode())
            time.sleep(after)

    with ThreadPoolExecutor(10) as threads:
        list(threads.map(one, range(times)))


def statuses(responses: list[Response]) -> dict[int, int]:
    return dict(Counter(response.status for response in responses))


@dataclass(frozen=True)
class Backend:
    """One connection, as pg_stat_activity shows it."""

    pid: int
    started: str | None
    application_name: str
    active: bool

    @property
    def worker(self) -> int:
        """The pid of the worker that opened it."""
        return int(self.application_name.rpartition("-")[2])


@dataclass
class Watch:
    """What was seen in pg_stat_activity, every 20 ms."""

    peak: int = 0
    peak_active: int = 0
    samples: int = 0
    opened: set[tuple[int, str | None]] = field(default_factory=set)

    def note(self, seen: list[Backend]) -> None:
        self.samples += 1
        self.peak = max(self.peak, len(seen))
        self.peak_active = max(self.peak_active, sum(backend.active for backend in seen))
        # While a backend starts, its row is not complete.
        self.opened |= {(backend.pid, backend.started) for backend in seen if backend.started}


@contextmanager
def watching(server: Gunicorn) -> Iterator[Watch]:
    """Sample pg_stat_activity on a thread while the context lasts."""
    watch = Watch()
    stop = threading.Event()

    def sample() -> None:
        try:
            while not stop.is_set():
                watch.note(server.backends())
                stop.wait(0.02)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as thread:
        sampling = thread.submit(sample)
        try:
            yield watch
        finally:
            stop.set()
            sampling.result(DEADLINE)


def wait_for(condition: Any, what: str, seconds: float = DEADLINE) -> None:
    """Until `condition()` holds; an AssertionError names `what` was waited for."""
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, f"waited {seconds:g} s for {what}"
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def shared_database_url() -> str:
    """DATABASE_URL of the database that pytest-django has made."""
    database = connection.settings_dict
    login = f"{quote(database['USER'])}:{quote(database['PASSWORD'])}"
    return f"postgresql://{login}@{database['HOST']}:{database['PORT']}/{database['NAME']}"
