"""A mixed load with random faults for a given time: what failed, and what was left.

`python -m tests.faults.soak` in a generated project; tests/soak.py generates one and runs it.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
DEADLINE = 15.0
WARM_UP = 15.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))  # noqa: S311
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()

    import devdb

    directory = Path(tempfile.mkdtemp(prefix="soak-"))
    cluster = devdb.Cluster(directory / "cluster", throw_away=True)
    cluster.start()
    devdb.development(cluster.url)
    try:
        figures = soak(cluster, directory, arguments.seconds, random.Random(arguments.seed))  # noqa: S311
    finally:
        cluster.stop()
        shutil.rmtree(directory)
    figures["seed"] = arguments.seed
    if arguments.json:
        print(json.dumps(figures))
    else:
        for name, figure in figures.items():
            print(f"{name:<28} {figure}")
    return 0 if figures["bound held"] and figures["slots at the end"] == figures["bound"] else 1


def soak(cluster: Any, directory: Path, seconds: float, chance: random.Random) -> dict[str, Any]:
    import django

    django.setup()
    from django.db import Error, connection

    from tests.faults.conftest import BOUND, LENDS, WORKERS, assert_full_capacity, peak
    from tests.faults.proxy import Mode, Proxy
    from tests.server import crowd, hang_up, serving

    proxy = Proxy(cluster.port)
    url = cluster.url.replace(f":{cluster.port}/", f":{proxy.port}/")
    faults: Counter[str] = Counter()

    def restart() -> None:
        cluster.stop()
        time.sleep(chance.uniform(0, 1))
        cluster.start()

    def crash() -> None:
        cluster.kill()
        time.sleep(chance.uniform(0, 5))
        cluster.start()

    def freeze() -> None:
        proxy.mode = chance.choice([Mode.FREEZE, Mode.DEAF])
        time.sleep(chance.uniform(0, 5))
        proxy.heal()

    def kill_a_worker() -> None:
        os.kill(chance.choice(sorted(server.workers())), signal.SIGKILL)

    def reload() -> None:
        server.process.send_signal(signal.SIGHUP)

    def terminate() -> None:
        try:
            server.terminate_backends()
        except Error:
            connection.close()

    def leave_early() -> None:
        path = chance.choice(["/query", "/query?seconds=0.3", "/stream"])
        hang_up(server, path, after=chance.uniform(0, 0.5), times=20)

    kinds = [restart, crash, freeze, kill_a_worker, reload, terminate, leave_early, leave_early]
    loads = {
        "/query": 6,
        "/query?seconds=0.05": 4,
        "/livez": 1,
        "/leave/open-transaction": 1,
        "/leave/advisory-lock": 1,
    }
    if LENDS:  # elsewhere a view's own thread has a connection beside those of the slots
        loads["/spawn/ending"] = 1
    environment = {"DATABASE_URL": url, "WEB_CONCURRENCY": str(WORKERS)}
    environment |= {"DATABASE_STATEMENT_TIMEOUT": "3"}
    with ExitStack() as stack:
        server = stack.enter_context(serving(directory / "log", **environment))
        with ExitStack() as running:
            highest = running.enter_context(peak(server))
            asked = {
                path: running.enter_context(crowd(server, path, clients=clients))
                for path, clients in loads.items()
            }
            end = time.monotonic() + seconds
            time.sleep(WARM_UP)
            memory_at_start = memory(server.workers())
            while (left := end - time.monotonic()) > DEADLINE:
                time.sleep(min(left, chance.uniform(1, 8)))
                fault = chance.choice(kinds)
                faults[fault.__name__.replace("_", " ")] += 1
                fault()
                say(f"{left:6.0f} s left, {fault.__name__}")
            proxy.heal()
            time.sleep(max(0.0, end - time.monotonic()))
        # What is still under way at the last fault ends within the deadline; then all is as before.
        time.sleep(DEADLINE)
        memory_at_end = memory(server.workers())
        connection.close()  # it may have been cut by a fault
        slots = assert_full_capacity(server)
        answers: Counter[str] = Counter()
        for each in asked.values():
            answers.update({str(answer): number for answer, number in each.counts().items()})
        proxy.stop()
        return {
            "seconds": seconds,
            "requests": sum(answers.values()),
            "answers": dict(answers),
            "faults": dict(faults),
            "bound": BOUND,
            "bound while workers are replaced": 2 * BOUND,
            "highest connection count": highest[0],
            "bound held": highest[0] <= 2 * BOUND,
            "slots at the end": slots,
            "MiB per worker, warmed up": memory_at_start,
            "MiB per worker, at the end": memory_at_end,
            "slowest request, seconds": round(max(each.slowest() for each in asked.values()), 2),
        }


def memory(pids: set[int]) -> list[float]:
    """Resident memory in MiB."""
    pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in sorted(pids)]
    return [round(number * os.sysconf("SC_PAGE_SIZE") / 2**20, 1) for number in pages]


def say(progress: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{progress:<60}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
