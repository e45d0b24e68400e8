"""An overload: three times as many requests as the slots can serve, at a fixed rate."""

import asyncio
import statistics
import time
from collections import Counter
from typing import Any

import aiohttp

from bench.configurations import SLOTS, WORKERS
from bench.loads import Load

HOLD = Load("hold")
HELD = 0.2  # seconds for which a request holds its slot, as in site/loads/views.py
RATE = 3 * WORKERS * SLOTS / HELD  # requests per second
TIMEOUT = 40  # seconds for one answer: longer than any server here waits for a slot
UNLOADED = 10  # requests, one after the other
PROBE = 0.05  # seconds between two requests that look for the recovery
RECOVERED = 1.5  # times the unloaded median


async def overload(url: str, seconds: int) -> dict[str, Any]:
    """Request `hold` at RATE for so many seconds, and then until it is as fast as before.

    A request is sent when it is due, also while others wait for their answers. Return the
    statuses, the medians of served requests in milliseconds, and the seconds until the recovery.
    """
    timeout = aiohttp.ClientTimeout(total=TIMEOUT)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(url, timeout=timeout, connector=connector) as session:
        alone = [(await _request(session))[1] for _ in range(UNLOADED)]
        unloaded = statistics.median(alone)
        began = time.monotonic()
        requests = []
        for number in range(round(RATE * seconds)):
            await asyncio.sleep(max(0.0, began + number / RATE - time.monotonic()))
            requests.append(asyncio.create_task(_request(session)))
        recovery = await _recovery(session, unloaded)
        answered = await asyncio.gather(*requests)
    served = [took for status, took in answered if status == "200"]
    return {
        "rate": RATE,
        "seconds": seconds,
        "statuses": dict(Counter(status for status, _ in answered)),
        "served_per_second": len(served) / seconds,
        "unloaded": 1000 * unloaded,
        "served": 1000 * statistics.median(served) if served else None,
        "slowest": 1000 * max(took for _, took in answered),
        "recovery": recovery,
    }


async def _recovery(session: aiohttp.ClientSession, unloaded: float) -> float:
    """Return the seconds until a request begins that is as fast as an unloaded one."""
    began = time.monotonic()
    probes: list[tuple[float, asyncio.Task[tuple[str, float]]]] = []
    while time.monotonic() < began + TIMEOUT:
        probes.append((time.monotonic() - began, asyncio.create_task(_request(session))))
        await asyncio.sleep(PROBE)
        fast = [at for at, probe in probes if probe.done() and _is_fast(probe.result(), unloaded)]
        if fast:
            break
    await asyncio.gather(*(probe for _, probe in probes))
    return min(fast, default=float(TIMEOUT))


def _is_fast(answered: tuple[str, float], unloaded: float) -> bool:
    status, took = answered
    return status == "200" and took <= RECOVERED * unloaded


async def _request(session: aiohttp.ClientSession) -> tuple[str, float]:
    """Return the status, or the kind of error, and the seconds that it took."""
    began = time.monotonic()
    try:
        async with session.get(HOLD.path) as response:
            await response.read()
            kind = str(response.status)
    except (aiohttp.ClientError, TimeoutError) as error:
        kind = type(error).__name__
    return kind, time.monotonic() - began
