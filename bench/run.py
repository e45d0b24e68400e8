"""The run: every configuration under every load, in rounds, so that all meet the same noise."""

import dataclasses
import random
import re
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.configurations import BOUND, CONFIGURATIONS, SLOTS, WORKERS, Configuration, service
from bench.environments import Environments, Unavailable
from bench.load import Answered, Load, apply, generator
from bench.machine import machine, release
from bench.member import Member
from bench.meters import Eye
from bench.plan import LENDING, OVER_TIME, ROOMY, USUAL, Plan
from bench.progress import Progress
from bench.servers import PostgreSQL, postgresql

# What is measured side by side.
GROUPS = (("gevent",), ("asgi", "uvicorn"), ("eventlet",), ("gthread",), ("sync",))
AGAIN = 2  # further tries of a run in which one worker got all clients


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

        After every part `keep` gets the figures so far.
        """
        began = time.monotonic()
        self._install()
        project = self.environments.project(self.chosen[0].project)
        with self._postgresql(project, ROOMY) as (server, eye):
            self.figures["machine"]["PostgreSQL"] = release(str(server.binaries / "postgres"))
            self._pgbench(server)
            for group in GROUPS:
                if together := [c for c in self.chosen if c.worker_class in group]:
                    self._group(together, server, eye)
                    keep(self.figures)
            self._sweep(server, eye)
        with self._postgresql(project, USUAL) as (server, eye):
            self._over_time(server, eye)
        self.figures["minutes"] = round((time.monotonic() - began) / 60, 1)

    def _install(self) -> None:
        for configuration in list(self.chosen):
            self.progress.say(f"install {configuration.name}")
            try:
                versions = self.environments.versions(configuration)
            except Exception as error:  # whatever it is, the others go on
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

    def _group(self, group: list[Configuration], server: PostgreSQL, eye: Eye) -> None:
        """Configurations that are compared: all run, idle but for the one that is measured.

        So the repeats of a load follow one another within seconds, and meet the same machine.
        """
        with self._fleet(group, server, eye) as fleet:
            for load in self.plan.loads:
                rounds, seconds = self.plan.of(load)
                self.progress.begin(f"{group[0].worker_class}, {len(fleet)} configurations: {load}")
                for number in range(1, rounds + 1):
                    for name in shuffled(fleet, number):
                        for run in self._tries(fleet[name], load, seconds):
                            self.figures["runs"].append({"round": number, **run})
            for number in range(1, self.plan.main_rounds + 1):
                for name in shuffled(fleet, number):
                    self._beside(fleet[name])

    @contextmanager
    def _fleet(
        self, group: list[Configuration], server: PostgreSQL, eye: Eye
    ) -> Iterator[dict[str, Member]]:
        """Those of `group` that start, by name."""
        fleet: dict[str, Member] = {}
        try:
            for configuration in group:
                self.progress.say(f"start {configuration.name}")
                member = Member(configuration, self.environments, server, eye, self.directory)
                try:
                    member.start()
                except Exception as error:  # as above
                    self._failed(configuration, error)
                else:
                    fleet[configuration.name] = member
            yield fleet
        finally:
            for member in fleet.values():
                member.stop()

    def _tries(self, member: Member, load: Load, seconds: int) -> Iterator[dict[str, Any]]:
        """One run, and others while one worker gets all clients; none if it cannot be done."""
        self.progress.say(f"{member.configuration.name}, {load}")
        try:
            for further in reversed(range(AGAIN + 1)):
                run = member.measure(load, seconds)
                repeated = bool(run["lopsided"] and further)
                yield {**run, "repeated": repeated}
                member.recover(after_failures=bool(run["failed"]))
                if not repeated:
                    return
        except Exception as error:  # as above
            self._failed(member.configuration, error)

    def _beside(self, member: Member) -> None:
        """Clients without database, alone and beside others that fill all slots."""
        configuration = member.configuration
        if not (configuration.is_service and configuration.worker_class in LENDING):
            return
        free, full = Load("wait", 16, True), Load("slow", 100, True)
        self.progress.say(f"{configuration.name}: clients without database beside full slots")
        try:
            alone = apply(member.url, free, self.plan.seconds)
            with in_background(member.url, full, self.plan.seconds + 1) as others:
                time.sleep(0.5)
                beside = apply(member.url, free, self.plan.seconds)
            filled = others.result()
            member.recover()
        except Exception as error:  # as above
            self._failed(configuration, error)
            return
        self.figures["beside"].append(
            {
                "configuration": configuration.name,
                "alone": alone.rate,
                "beside": beside.rate,
                "others": filled.rate,
                "failed": sum(sum(each.failed.values()) for each in (alone, beside, filled)),
            }
        )

    def _sweep(self, server: PostgreSQL, eye: Eye) -> None:
        """Throughput over slots."""
        for worker_class in ("gevent", "asgi"):
            if not any(c.is_service and c.worker_class == worker_class for c in self.chosen):
                continue
            self.progress.begin(f"{worker_class}: throughput over slots")
            group = [service(worker_class, slots=n) for n in self.plan.sweep]
            with self._fleet(group, server, eye) as fleet:
                for number in range(1, self.plan.rounds + 1):
                    for view in ("query", "slow"):
                        for name in shuffled(fleet, number):
                            self._sweep_one(fleet[name], view)

    def _sweep_one(self, member: Member, view: str) -> None:
        slots = int(member.configuration.environment["DATABASE_SLOTS"])
        worker_class = member.configuration.worker_class
        for run in self._tries(member, Load(view, 100, True), self.plan.seconds_of(view)):
            self.figures["sweep"].append({"worker_class": worker_class, "slots": slots, **run})

    def _over_time(self, server: PostgreSQL, eye: Eye) -> None:
        """Connections while each request comes on a new TCP connection, one after the other:
        here they share what PostgreSQL allows by default."""
        load = Load("query", 100, keep_alive=False)
        for configuration in self.chosen:
            if configuration.name not in OVER_TIME:
                continue
            self.progress.begin(f"connections over {self.plan.over_time} s: {configuration.name}")
            with self._fleet([configuration], server, eye) as fleet:
                if not fleet:
                    continue
                member = fleet[configuration.name]
                try:
                    with eye.watching(member.database) as seen:
                        answered = apply(member.url, load, self.plan.over_time)
                except Exception as error:  # as above
                    self._failed(configuration, error)
                    continue
            self.figures["over_time"][configuration.name] = {
                "series": thinned(seen.series),
                "bound": configuration.bound,
                "samples": len(seen.series),
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
                    timeout=60 + self.plan.main_seconds,
                    check=True,
                )
                found = re.search(r"tps = ([\d.]+)", done.stdout)
                self.figures["pgbench"][name] = float(found[1]) if found else None
            except (OSError, subprocess.SubprocessError) as error:
                self.figures["failed"]["pgbench"] = str(error)[-300:]

    def _failed(self, configuration: Configuration, error: Exception) -> None:
        reason = str(error) or type(error).__name__
        self.progress.begin(f"FAILED {configuration.name}: {reason}")
        self.figures["failed"].setdefault(configuration.name, reason)


@contextmanager
def in_background(url: str, load: Load, seconds: int) -> Iterator[Future[Answered]]:
    """Another load beside the one that is measured; its result is there at the end."""
    with ThreadPoolExecutor(1) as thread:
        yield thread.submit(apply, url, load, seconds)


def shuffled(names: Iterable[str], seed: int) -> list[str]:
    """Another order in each round, and the same in each run of the bench."""
    return random.Random(seed).sample(sorted(names), len(set(names)))  # noqa: S311


def thinned(series: Iterable[tuple[float, int]], step: float = 0.2) -> list[tuple[float, int]]:
    """The highest count of each step: what a picture can show."""
    highest: dict[int, int] = {}
    for at, count in series:
        key = int(at / step)
        highest[key] = max(count, highest.get(key, 0))
    return [(round(key * step, 1), count) for key, count in sorted(highest.items())]
