"""The loads, which configuration gets which, and wrk, which puts them on a server."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.configurations import Configuration

REPORT = Path(__file__).with_name("wrk.lua")
TIMEOUT = 10  # seconds for one answer
USUAL_CLIENTS = 100
OTHER_SERVICE = 0.2  # seconds that "mixed" waits, as in site/loads/views.py
VIEWS = {
    "db": "one row",
    "queries": "20 rows, a query each",
    "fortunes": "a rendered template",
    "updates": "20 rows read and changed in a transaction",
    "mixed": "a query, 0.2 s of waiting for another service, a query",
    "session": "the page of notes of a signed-in user: session, user, list",
}


class WrkFailed(Exception):
    """wrk is missing, or measured nothing; the message says why."""


@dataclass(frozen=True)
class Load:
    """So many clients that request one view, again and again."""

    view: str
    clients: int = USUAL_CLIENTS
    keep_alive: bool = True

    def __str__(self) -> str:
        how = "keep-alive" if self.keep_alive else "new TCP"
        return f"{self.view}, {how}, {self.clients} clients"

    @property
    def warm_up(self) -> int:
        """Return the seconds that do not count, in which nearly all clients get an answer."""
        seconds = {"queries": 3, "updates": 3, "session": 3, "mixed": 2}.get(self.view, 1)
        return seconds * (3 if self.clients > USUAL_CLIENTS else 1)

    @property
    def path(self) -> str:
        """Return the path of the view."""
        return "/notes/" if self.view == "session" else f"/{self.view}"


DB, NEW_TCP, MIXED = Load("db"), Load("db", keep_alive=False), Load("mixed")
FEW = [DB, NEW_TCP, MIXED]
FULL = [DB, NEW_TCP, *(Load(view) for view in VIEWS if view != "db")]
CROWDS = [Load("db", 400), Load("mixed", 16), Load("mixed", 400)]
LOADS = [*FULL, *CROWDS]


def is_measured(load: Load, configuration: Configuration) -> bool:
    """Return True if `configuration` gets `load`.

    sync does not get "mixed": two processes that wait 0.2 s answer ten requests in a second, and
    the hundredth client gives up before. It does not get new TCP either: gunicorn's sync worker
    closes every connection after its answer anyway.
    """
    if load in (MIXED, NEW_TCP) and configuration.group == "sync":
        return False
    if load in CROWDS:
        return configuration.loads == "crowds"
    return load in FEW or configuration.loads != "few"


@dataclass(frozen=True)
class Answered:
    """The clients' view of one run."""

    requests: int  # answered with 200 after the warm-up
    failed: dict[str, int]  # by status, or by the kind of error on the socket
    rate: float  # requests per second
    p50: float  # milliseconds, as the others; with the warm-up
    p95: float
    p99: float
    each_second: list[int]  # requests answered with 200, from the first second on


def require_wrk() -> None:
    """Raise WrkFailed if wrk is not installed."""
    if shutil.which("wrk") is None:
        raise WrkFailed("wrk makes the load, and is not installed: `apt-get install wrk`")


def apply(url: str, load: Load, seconds: int, session: str = "") -> Answered:
    """Put `load` on the server at `url` for its warm-up and so many seconds. Raise WrkFailed.

    `session` is the key of the session in which the user of the load "session" is signed in.
    """
    whole = load.warm_up + seconds
    command = ["wrk", "-t1", f"-c{load.clients}", f"-d{whole}s", f"--timeout={TIMEOUT}s"]
    done = subprocess.run(
        [*command, "-s", str(REPORT), *_headers(load, session), f"{url}{load.path}"],
        capture_output=True,
        text=True,
        timeout=whole + 3 * TIMEOUT,
    )
    if done.returncode:
        raise WrkFailed(f"wrk: {done.stderr.strip() or done.stdout.strip()}")
    report = json.loads(done.stdout.splitlines()[-1])
    failed = {**report["statuses"], **report["errors"]}
    each_second = [report["each_second"].get(str(second), 0) for second in range(whole)]
    requests = sum(each_second[load.warm_up :])
    if not requests:  # wrk names no error before TIMEOUT
        failed["no answer"] = load.clients
    return Answered(
        requests=requests,
        failed={kind: number for kind, number in failed.items() if number and kind != "200"},
        rate=requests / seconds,
        **{name: report[name] / 1000 for name in ("p50", "p95", "p99")},
        each_second=each_second,
    )


def _headers(load: Load, session: str) -> Iterator[str]:
    if load.view == "session":
        yield from ("-H", f"Cookie: sessionid={session}")
    if not load.keep_alive:
        yield from ("-H", "Connection: close")
