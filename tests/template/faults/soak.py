"""Run a mixed load with random faults, and print what failed and what was left.

`python -m tests.faults.soak` in a generated project. In the template, tests/template/soak.py
generates a project and runs it.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devdb import Cluster, set_environment
from tests.package.proxy import Mode, Proxy

if TYPE_CHECKING:
    from connection_slots.testing.server import Gunicorn

WARM_UP = 15.0  # seconds before the memory is measured for the first time
CALM = 15.0  # seconds without a fault at the end, in which all that was running ends

# Clients by path. All request all the while.
LOAD = {
    "/test/query": 6,
    "/test/query?seconds=0.05": 4,
    "/test/wait?seconds=0.05": 2,
    "/livez": 1,
    "/test/leave/open-transaction": 1,
    "/test/leave/advisory-lock": 1,
    "/test/spawn/ending": 1,
}
KILL = "worker killed"
NOTICED = 2.0  # seconds in which clients notice that their worker was killed
# What a client gets when its worker is killed.
CUT_OFF = {"ConnectionResetError", "RemoteDisconnected", "BadStatusLine", "IncompleteRead"}


def main() -> int:
    """Run the soak. Return 0 if the service has kept its promises."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))  # noqa: S311
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()

    os.environ |= {"DJANGO_SETTINGS_MODULE": "tests.settings", "ENV_FILE": ""}
    with (
        tempfile.TemporaryDirectory(prefix="soak-", ignore_cleanup_errors=True) as directory,
        Cluster(Path(directory, "cluster"), throw_away=True) as cluster,
    ):
        set_environment(cluster.url)
        import django

        django.setup()
        chance = random.Random(arguments.seed)  # noqa: S311
        figures = soak(cluster, Path(directory, "log"), arguments.seconds, chance)
    figures["seed"] = arguments.seed
    if arguments.json:
        print(json.dumps(figures))
    else:
        for name, figure in figures.items():
            print(f"{name:<32} {figure}")
    return 0 if figures["passed"] else 1


def soak(cluster: Cluster, log: Path, seconds: float, chance: random.Random) -> dict[str, Any]:
    """Run the load for `seconds` with faults, then count. Return the figures by name."""
    from django.db import connection

    from connection_slots.testing.clients import crowd
    from connection_slots.testing.sampler import sampling

    from .support import BOUND, assert_full_capacity, serve

    proxy = Proxy(cluster.port)
    faults: Counter[str] = Counter()
    with ExitStack() as stack:
        stack.callback(proxy.stop)
        server = stack.enter_context(
            serve(cluster, log, port=proxy.port, DATABASE_STATEMENT_TIMEOUT="3")
        )
        kinds = kinds_of_fault(cluster, proxy, server, chance)
        with ExitStack() as running:
            samples = running.enter_context(sampling(server))
            requested = [
                running.enter_context(crowd(server, path, clients=clients))
                for path, clients in LOAD.items()
            ]
            end = time.monotonic() + seconds
            time.sleep(WARM_UP)
            memory_at_start = memory(workers_of(server))
            order: list[str] = []
            killed: list[float] = []
            while (left := end - time.monotonic()) > CALM:
                time.sleep(min(left, chance.uniform(1, 8)))
                if not order:  # each kind once before any comes again
                    order = chance.sample(sorted(kinds), len(kinds))
                name = order.pop()
                faults[name] += 1
                kinds[name]()
                if name == KILL:
                    killed.append(time.monotonic())
                show(f"{left:6.0f} s left, {name}")
            proxy.heal()
            time.sleep(max(0.0, end - time.monotonic()))
        time.sleep(CALM)
        memory_at_end = memory(workers_of(server))
        connection.close()  # a fault may have cut it
        capacity = assert_full_capacity(server)
    answers: Counter[str] = Counter()
    for each in requested:
        answers.update({str(answer): number for answer, number in each.counts().items()})
    cut_off = [
        began + waited
        for each in requested
        for began, waited, answer in each.answers
        if answer in CUT_OFF
    ]
    # After a reload each worker may be there twice, and so may be one that was killed.
    bound = 2 * BOUND
    return {
        "seconds": seconds,
        "requests": answers.total(),
        "answers": dict(answers.most_common()),
        "faults": dict(faults.most_common()),
        "cut off, but no worker was killed": sum(
            not any(abs(ended - kill) < NOTICED for kill in killed) for ended in cut_off
        ),
        "bound": BOUND,
        "bound while workers are replaced": bound,
        "highest connection count": samples.peak,
        "slots that work at the end": capacity,
        "MiB per worker, warmed up": memory_at_start,
        "MiB per worker, at the end": memory_at_end,
        "slowest request, seconds": round(max(each.slowest() for each in requested), 2),
        "passed": samples.peak <= bound and answers.keys() <= {"200", "503", *CUT_OFF},
    }


def kinds_of_fault(
    cluster: Cluster, proxy: Proxy, server: "Gunicorn", chance: random.Random
) -> dict[str, Callable[[], None]]:
    """Return the functions that cause faults, by name."""
    from django.db import Error, connection

    from connection_slots.testing.clients import hang_up

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

    def kill_worker() -> None:
        os.kill(chance.choice(sorted(workers_of(server))), signal.SIGKILL)

    def reload() -> None:
        server.process.send_signal(signal.SIGHUP)

    def terminate() -> None:
        try:
            server.terminate_connections()
        except Error:
            connection.close()

    def leave() -> None:
        path = chance.choice(["/test/query", "/test/query?seconds=0.3", "/test/stream"])
        hang_up(server, path, after=chance.uniform(0, 0.5), times=20)

    return {
        "PostgreSQL restarted": restart,
        "PostgreSQL crashed": crash,
        "network frozen or deaf": freeze,
        KILL: kill_worker,
        "reload": reload,
        "connections terminated": terminate,
        "20 clients hung up": leave,
    }


def workers_of(server: "Gunicorn") -> set[int]:
    """Return the pids of the workers, without the checks that run before a reload."""
    command = command_of(server.process.pid)
    return {pid for pid in server.workers() if command_of(pid) == command}


def command_of(pid: int) -> bytes | None:
    """Return the command line of a process, or None if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return None


def memory(pids: set[int]) -> list[float]:
    """Return the resident memory of each process in MiB."""
    pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in sorted(pids)]
    return [round(number * os.sysconf("SC_PAGE_SIZE") / 2**20, 1) for number in pages]


def show(progress: str) -> None:
    """Overwrite the last line of a terminal."""
    if sys.stderr.isatty():
        print(f"\r{progress:<60}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
