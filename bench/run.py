"""The run: every configuration under every load, in rounds, so that all meet the same noise."""

import dataclasses
import os
import platform
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.configurations import BOUND, CONFIGURATIONS, SLOTS, WORKERS, Configuration, service
from bench.environments import Environments, Unavailable
from bench.load import Load, apply, generator
from bench.meters import Eye, memory, spent
from bench.servers import Gunicorn, PostgreSQL, gunicorn, postgresql

MAIN = Load("query", clients=100, keep_alive=True)
LOADS = [
    Load(view, clients, keep_alive)
    for view in ("query", "slow", "wait")
    for keep_alive in (True, False)
    for clients in (16, 100, 400)
] + [Load("plain", 100, True), Load("plain", 100, False)]
LENDING = ("gevent", "asgi", "eventlet")
# One line each in the picture of connections over time.
OVER_TIME = (
    "gevent: slots, psycopg2",
    "gevent: CONN_MAX_AGE=60",
    "gevent: CONN_MAX_AGE=0",
    "gevent: Django's pool",
    "gevent: django-db-geventpool",
    "gevent: SQLAlchemy's pool",
    "gevent: PgBouncer",
    "asgi: slots, psycopg2",
    "asgi: CONN_MAX_AGE=60",
    "uvicorn: CONN_MAX_AGE=60",
)
SWEEP = (1, 2, 5, 10, 20, 50)
ROOMY = 600  # max_connections where a limit of the server is not what is measured
USUAL = 100  # PostgreSQL's default
AGAIN = 2  # further tries of a run in which one worker got all clients
FEW = 200  # CPU ticks are too coarse to tell workers apart below so many requests


@dataclasses.dataclass(frozen=True)
class Plan:
    """How much is measured."""

    rounds: int = 3
    seconds: int = 2  # for one run
    main_seconds: int = 4  # for the load that most targets name
    over_time: int = 60  # seconds of each line in that picture
    loads: tuple[Load, ...] = tuple(LOADS)
    sweep: tuple[int, ...] = SWEEP
    only: str = ""


QUICK = Plan(
    rounds=1,
    seconds=1,
    main_seconds=1,
    over_time=2,
    loads=(MAIN, Load("query", 16, False), Load("wait", 16, True)),
    sweep=(1, 10),
)


class Bench:
    """One run, whose figures are in `figures` from the start, so that a stopped run keeps them."""

    def __init__(self, plan: Plan, directory: Path) -> None:
        self.plan = plan
        self.directory = directory
        self.environments = Environments(directory)
        self.chosen = [c for c in CONFIGURATIONS if re.search(plan.only, c.name)]
        if not self.chosen:
            raise Unavailable(f"no configuration's name matches {plan.only!r}; see --list")
        self.progress = Progress()
        self.figures: dict[str, Any] = {
            "began": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine(),
            "generator": generator(),
            "workers": WORKERS,
            "slots": SLOTS,
            "plan": {**dataclasses.asdict(plan), "loads": [str(load) for load in plan.loads]},
            "configurations": {},
            "failed": {},
            "runs": [],
            "over_time": {},
            "sweep": [],
            "beside": [],
            "pgbench": {},
        }

    def run(self, keep: Callable[[dict[str, Any]], object] = lambda figures: None) -> None:
        """All of it. A configuration that fails is noted, and the others go on.

        After every round `keep` gets the figures so far.
        """
        began = time.monotonic()
        self._install()
        project = self.environments.project(self.chosen[0].project)
        with self._postgresql(project, ROOMY) as (server, eye):
            self.figures["machine"]["PostgreSQL"] = version(server)
            self._pgbench(server)
            for number in range(1, self.plan.rounds + 1):
                self._round(number, server, eye)
                self._sweep(number, server, eye)
                keep(self.figures)
        with self._postgresql(project, USUAL) as (server, eye):
            self._over_time(server, eye)
        self.figures["minutes"] = round((time.monotonic() - began) / 60, 1)

    def _install(self) -> None:
        for configuration in list(self.chosen):
            self.progress.say(f"install {configuration.name}")
            try:
                versions = self.environments.versions(configuration)
            except Unavailable as error:
                self._failed(configuration, error)
                self.chosen.remove(configuration)
                continue
            self.figures["configurations"][configuration.name] = {
                "worker_class": configuration.worker_class,
                "bound": configuration.bound,
                "versions": versions,
            }
        if not self.chosen:
            raise Unavailable(f"nothing could be installed: {self.figures['failed']}")

    @contextmanager
    def _postgresql(self, project: Any, limit: int) -> Iterator[tuple[PostgreSQL, Eye]]:
        with postgresql(project, self.directory / f"postgresql-{limit}", limit) as server:
            eye = Eye(server)
            try:
                yield server, eye
            finally:
                eye.close()

    def _round(self, number: int, server: PostgreSQL, eye: Eye) -> None:
        order = list(self.chosen)
        random.Random(number).shuffle(order)  # noqa: S311
        for position, configuration in enumerate(order, 1):
            self.progress.begin(
                f"round {number} of {self.plan.rounds}, {position} of {len(order)}: "
                f"{configuration.name}"
            )
            try:
                for run in self._loads(configuration, server, eye):
                    self.figures["runs"].append({"round": number, **run})
            except (Unavailable, RuntimeError, subprocess.SubprocessError) as error:
                self._failed(configuration, error)

    def _loads(
        self, configuration: Configuration, server: PostgreSQL, eye: Eye
    ) -> Iterator[dict[str, Any]]:
        """Each load once. After failed requests the next load meets a new gunicorn."""
        waiting = list(self.plan.loads)
        while waiting:
            with self._serving(configuration, server, eye) as running:
                while waiting:
                    run = self._balanced(running, waiting.pop(0), server, eye)
                    yield run
                    if run["failed"]:
                        break
                if configuration.is_service and configuration.worker_class in LENDING:
                    self._beside(running, eye)

    @contextmanager
    def _serving(
        self, configuration: Configuration, server: PostgreSQL, eye: Eye
    ) -> Iterator[Gunicorn]:
        """A warm gunicorn; after it, none of its connections are left."""
        try:
            with gunicorn(
                configuration, self.environments, server, self.directory / "running"
            ) as running:
                apply(running.url, MAIN, 1)
                yield running
        finally:
            wait_until(lambda: eye.count() == 0)

    def _balanced(
        self, running: Gunicorn, load: Load, server: PostgreSQL, eye: Eye
    ) -> dict[str, Any]:
        """One run, and another while one worker gets all clients."""
        lopsided = 0
        while True:
            run = self._measure(running, load, server, eye)
            if not run["lopsided"] or lopsided == AGAIN:
                return {**run, "lopsided_before": lopsided}
            lopsided += 1

    def _measure(
        self, running: Gunicorn, load: Load, server: PostgreSQL, eye: Eye
    ) -> dict[str, Any]:
        eye.rest()
        seconds = self.plan.main_seconds if load == MAIN else self.plan.seconds
        self.progress.say(str(load))
        before = spent(running, server, eye)
        with eye.watching() as seen:
            answered = apply(running.url, load, seconds)
        used = spent(running, server, eye).since(before)
        return {
            "configuration": running.configuration.name,
            **dataclasses.asdict(load),
            **dataclasses.asdict(answered),
            "rate": answered.rate,
            "peak": seen.peak,
            "opened": seen.opened,
            "samples": len(seen.series),
            "cpu_gunicorn": used.gunicorn,
            "cpu_postgresql": used.postgresql,
            "memory": memory(running),
            "lopsided": used.lopsided and answered.requests > FEW,
        }

    def _beside(self, running: Gunicorn, eye: Eye) -> None:
        """Clients without database, alone and beside others that fill all slots."""
        free, full = Load("wait", 16, True), Load("slow", 100, True)
        seconds = self.plan.seconds
        eye.rest()
        self.progress.say("clients without database, alone and beside full slots")
        alone = apply(running.url, free, seconds)
        with in_background(running.url, full, seconds + 1):
            time.sleep(0.5)
            beside = apply(running.url, free, seconds)
        self.figures["beside"].append(
            {
                "configuration": running.configuration.name,
                "alone": alone.rate,
                "beside": beside.rate,
                "failed": alone.failed | beside.failed,
            }
        )

    def _sweep(self, number: int, server: PostgreSQL, eye: Eye) -> None:
        """Throughput over slots."""
        for worker_class in ("gevent", "asgi"):
            if not any(c.is_service and c.worker_class == worker_class for c in self.chosen):
                continue
            for slots in self.plan.sweep:
                configuration = service(worker_class, DATABASE_SLOTS=str(slots))
                self.progress.begin(f"round {number}: {worker_class} with {slots} slots")
                try:
                    with self._serving(configuration, server, eye) as running:
                        for view in ("query", "slow"):
                            run = self._balanced(running, Load(view, 100, True), server, eye)
                            self.figures["sweep"].append(
                                {"worker_class": worker_class, "slots": slots, **run}
                            )
                except (Unavailable, RuntimeError) as error:
                    self._failed(configuration, error)

    def _over_time(self, server: PostgreSQL, eye: Eye) -> None:
        """Connections while each request comes on a new TCP connection."""
        load = Load("query", 100, keep_alive=False)
        for configuration in self.chosen:
            if configuration.name not in OVER_TIME:
                continue
            self.progress.begin(f"connections over {self.plan.over_time} s: {configuration.name}")
            try:
                with (
                    gunicorn(
                        configuration, self.environments, server, self.directory / "running"
                    ) as running,
                    eye.watching() as seen,
                ):
                    answered = apply(running.url, load, self.plan.over_time)
            except (Unavailable, RuntimeError) as error:
                self._failed(configuration, error)
                continue
            finally:
                wait_until(lambda: eye.count() == 0)
            self.figures["over_time"][configuration.name] = {
                "series": thinned(seen.series),
                "peak": seen.peak,
                "opened": seen.opened,
                "requests": answered.requests,
                "failed": answered.failed,
                "max_connections": USUAL,
            }

    def _pgbench(self, server: PostgreSQL) -> None:
        """What PostgreSQL itself can do with as many clients, connections kept and not."""
        program = server.binaries / "pgbench"
        self.progress.begin("pgbench")
        common = [str(program), "-n", "-c", str(BOUND), "-T", str(self.plan.main_seconds)]
        script = self.directory / "pgbench.sql"
        script.write_text("SELECT pg_backend_pid();\n")
        for name, option in (("kept connections", []), ("a new connection each", ["-C"])):
            try:
                done = subprocess.run(
                    [*common, *option, "-f", str(script), server.url],
                    capture_output=True,
                    text=True,
                    timeout=60,
                    check=True,
                )
                found = re.search(r"tps = ([\d.]+)", done.stdout)
                self.figures["pgbench"][name] = float(found[1]) if found else None
            except (OSError, subprocess.SubprocessError) as error:
                self.figures["failed"]["pgbench"] = str(error)[-300:]

    def _failed(self, configuration: Configuration, error: Exception) -> None:
        self.progress.begin(f"FAILED {configuration.name}: {error}")
        self.figures["failed"][configuration.name] = str(error)


class Progress:
    """On a terminal one line that changes, else a line for each configuration."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._terminal = sys.stderr.isatty()
        self._step = ""

    def begin(self, step: str) -> None:
        self._step = f"{(time.monotonic() - self._began) / 60:5.1f} min  {step}"
        end = "" if self._terminal else "\n"
        print(f"\r\033[K{self._step}" if self._terminal else self._step, end=end, file=sys.stderr)

    def say(self, detail: str) -> None:
        if self._terminal:
            line = f"\r\033[K{self._step}: {detail}"
            print(line[: shutil.get_terminal_size().columns + 3], end="", file=sys.stderr)
            sys.stderr.flush()


@contextmanager
def in_background(url: str, load: Load, seconds: int) -> Iterator[None]:
    """Another load beside the one that is measured."""
    with ThreadPoolExecutor(1) as thread:
        going = thread.submit(apply, url, load, seconds)
        yield
        going.result()


def wait_until(condition: Any, deadline: float = 20.0) -> None:
    give_up = time.monotonic() + deadline
    while not condition() and time.monotonic() < give_up:
        time.sleep(0.05)


def thinned(series: Iterable[tuple[float, int]], step: float = 0.2) -> list[tuple[float, int]]:
    """The highest count of each step: what a picture can show."""
    highest: dict[int, int] = {}
    for at, count in series:
        key = int(at / step)
        highest[key] = max(count, highest.get(key, 0))
    return [(round(key * step, 1), count) for key, count in sorted(highest.items())]


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    cpuinfo = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = re.search(r"model name\s*: (.*)", cpuinfo)
    return {
        "CPU": model[1] if model else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.release()}",
    }


def version(server: PostgreSQL) -> str:
    command = [str(server.binaries / "postgres"), "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.split(") ")[-1].split()[0]
