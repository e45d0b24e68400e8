"""Clients that ask without pause: wrk where it is installed, else a generator in Python."""

import asyncio
import json
import shutil
import subprocess
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

REPORT = Path(__file__).with_name("wrk.lua")
PATIENCE = 10  # seconds for one answer
PAUSE = 0.01  # seconds, after which a client that failed asks again
PACE = 0.8  # of what a service can do at most: the rate at which Python measures latency


@dataclass(frozen=True)
class Load:
    """So many clients that ask for one view, again and again."""

    view: str
    clients: int
    keep_alive: bool

    def __str__(self) -> str:
        how = "keep-alive" if self.keep_alive else "new TCP"
        return f"{self.view}, {how}, {self.clients} clients"


@dataclass(frozen=True)
class Answered:
    """What clients saw."""

    seconds: float
    requests: int  # that were answered with 200
    failed: dict[str, int]
    p50: float  # milliseconds
    p95: float
    p99: float
    offered: float | None = None  # requests per second, where latency was measured at a rate
    wanted: float | None = None  # the rate that should have been offered

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds


def generator() -> str:
    """What makes the load on this machine."""
    return "wrk" if shutil.which("wrk") else "Python (open loop)"


def apply(url: str, load: Load, seconds: int) -> Answered:
    """Put `load` on the service at `url` for so many seconds."""
    if shutil.which("wrk"):
        return _wrk(url, load, seconds)
    return asyncio.run(_open_loop(url, load, seconds))


def _wrk(url: str, load: Load, seconds: int) -> Answered:
    command = ["wrk", "-t1", f"-c{load.clients}", f"-d{seconds}s", f"--timeout={PATIENCE}s"]
    if not load.keep_alive:
        command += ["-H", "Connection: close"]
    done = subprocess.run(
        [*command, "-s", str(REPORT), f"{url}/{load.view}"],
        capture_output=True,
        text=True,
        timeout=seconds + 3 * PATIENCE,
    )
    if done.returncode:
        raise RuntimeError(f"wrk: {done.stderr.strip() or done.stdout.strip()}")
    said = json.loads(done.stdout.splitlines()[-1])
    failed = {kind: number for kind, number in said["errors"].items() if number}
    return Answered(
        seconds=said["microseconds"] / 1e6,
        requests=said["requests"] - failed.get("status", 0),
        failed=failed,
        p50=said["p50"] / 1000,
        p95=said["p95"] / 1000,
        p99=said["p99"] / 1000,
    )


async def _open_loop(url: str, load: Load, seconds: int) -> Answered:
    """First without pause, for the rate; then at a part of it, for the latency.

    Latency counts from the moment at which a request was due, also when no client was free then.
    """
    full = await _ask(url, load, seconds / 2, rate=None)
    wanted = PACE * full.answered / full.seconds
    # Where nothing was answered there is no rate, and no latency.
    paced = await _ask(url, load, seconds / 2, rate=wanted) if wanted else _Tally()
    ordered = sorted(paced.latencies) or [0.0]
    p50, p95, p99 = (1000 * ordered[int(part * (len(ordered) - 1))] for part in (0.5, 0.95, 0.99))
    return Answered(
        seconds=full.seconds,
        requests=full.answered,
        failed=dict(full.failed + paced.failed),
        p50=p50,
        p95=p95,
        p99=p99,
        offered=paced.sent / paced.seconds if wanted else 0.0,
        wanted=wanted,
    )


class _Tally:
    def __init__(self) -> None:
        self.seconds = 0.0
        self.sent = 0
        self.answered = 0
        self.failed: Counter[str] = Counter()
        self.latencies: list[float] = []


async def _ask(url: str, load: Load, seconds: float, rate: float | None) -> _Tally:
    tally, began = _Tally(), time.monotonic()
    port = urlsplit(url).port
    lines = [f"GET /{load.view} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [] if load.keep_alive else ["Connection: close"]
    request = "\r\n".join([*lines, "", ""]).encode()
    due = iter(range(1 << 60))

    async def client() -> None:
        streams = None
        while (now := time.monotonic()) - began < seconds:
            since = now
            if rate is not None:
                since = began + next(due) / rate
                if since - began >= seconds:
                    return
                await asyncio.sleep(max(0.0, since - now))
            tally.sent += 1
            try:
                async with asyncio.timeout(PATIENCE):
                    streams = streams or await asyncio.open_connection("127.0.0.1", port)
                    ok = await _exchange(*streams, request)
            except (OSError, EOFError, TimeoutError, ValueError) as error:
                kind = "status" if isinstance(error, ValueError) else type(error).__name__
                tally.failed[kind] += 1
                if streams:
                    streams[1].close()
                streams = None
                await asyncio.sleep(PAUSE)
            else:
                tally.latencies.append(time.monotonic() - since)
                tally.answered += ok
                tally.failed["status"] += not ok
            if streams and not load.keep_alive:
                streams[1].close()
                streams = None
        if streams:
            streams[1].close()

    await asyncio.gather(*(client() for _ in range(load.clients)))
    tally.seconds = time.monotonic() - began
    tally.failed = +tally.failed
    return tally


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> bool:
    """One request and its answer: whether it was 200. Raises ValueError for one without length."""
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    headers = dict(line.lower().split(b": ", 1) for line in lines[1:] if line)
    status = lines[0].split()[1]
    if b"content-length" not in headers:  # an error page, and the views here all state theirs
        raise ValueError(f"{status.decode()} without a length")
    await reader.readexactly(int(headers[b"content-length"]))
    return status == b"200"
