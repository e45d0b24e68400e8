"""The run: every configuration under its loads, in rounds, so that all meet the same noise."""

import asyncio
import random
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import track

from bench.configurations import CONFIGURATIONS, SLOTS, WORKERS, Configuration
from bench.environments import Environments, Unavailable
from bench.loads import DB, LOADS, MIXED, NEW_TCP, Load, is_measured, require_wrk
from bench.machine import machine
from bench.member import Member
from bench.meters import Count, Monitor
from bench.overload import overload
from bench.servers import manage, seed
from devdb import Cluster

ROOMY = 1500  # max_connections where the server's limit is not what is measured
USUAL = 100  # PostgreSQL's default, in the minute
AGAIN = 2  # further tries of a run in which one worker got nearly all clients
# One line each in the picture of one minute.
MINUTE = (
    "gevent: slots, psycopg2",
    "gevent: Django's pool",
    "gevent: CONN_MAX_AGE=60",
    "gevent: CONN_MAX_AGE=0",
    "asgi: slots, psycopg2",
    "asgi: CONN_MAX_AGE=60",
)
# The overload, of services with these time-outs in seconds (5 is the default), and of Django's
# pool, which waits 30 s.
SLOT_TIMEOUT = "DATABASE_SLOT_TIMEOUT"
SLOT_TIMEOUTS = ("0.5", "5")
OVERLOADED = ("gevent: slots, psycopg2", "asgi: slots, psycopg2")
OVERLOADED_PEERS = ("gevent: Django's pool", "asgi: Django's pool")
SHOWN = 600  # characters of an error on the terminal; the figures have more
Item = TypeVar("Item")
CONSOLE = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    rounds: int = 4
    seconds: int = 2  # for one run, after its warm-up
    minute: int = 60  # seconds of the picture of one minute
    overload: int = 8  # seconds
    loads: tuple[Load, ...] = tuple(LOADS)
    only: str = ""


QUICK = Plan(rounds=1, seconds=1, minute=3, overload=1, loads=(DB, MIXED))


class Bench:
    """One run. Its figures are in `figures` from the start, so a stopped run keeps them."""

    def __init__(self, plan: Plan, directory: Path) -> None:
        require_wrk()
        self.plan = plan
        self.directory = directory
        self.environments = Environments(directory)
        self.chosen = [each for each in CONFIGURATIONS if re.search(plan.only, each.name)]
        if not self.chosen:
            raise Unavailable(f"no configuration's name matches {plan.only!r}; see --list")
        self.figures: dict[str, Any] = {
            "began": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine(),
            "workers": WORKERS,
            "slots": SLOTS,
            "plan": asdict(plan),
            "configurations": {},
            "failed": {},
            "runs": [],
            "minute": {},
            "overload": [],
        }

    def run(self, keep: Callable[[dict[str, Any]], object]) -> None:
        """Measure everything. A configuration that fails is noted, and the others go on.

        `keep` gets the figures so far after every group.
        """
        began = time.monotonic()
        self._install()
        with self._cluster(ROOMY):
            for group in dict.fromkeys(each.group for each in self.chosen):
                self._side_by_side([each for each in self.chosen if each.group == group])
                keep(self.figures)
            self._alone("overload", overloaded(self.chosen), self._overload)
        with self._cluster(USUAL):
            minute = [each for each in self.chosen if each.name in MINUTE]
            self._alone(f"{self.plan.minute} s of {NEW_TCP}", minute, self._minute)
        self.figures["minutes"] = round((time.monotonic() - began) / 60, 1)

    def _install(self) -> None:
        """Generate the projects, and install them and the peers. Raise Unavailable."""
        installed = []
        for each in progress(self.chosen, "install"):
            with self._noted(each):
                self.environments.install(each)
                installed.append(each)
        if not installed:
            raise Unavailable(f"nothing could be installed: {self.figures['failed']}")
        self.chosen = installed
        for each in installed:  # later ones may have added to the environment of an earlier one
            versions = self.environments.versions(each)
            noted = {"group": each.group, "bound": each.bound, "versions": versions}
            self.figures["configurations"][each.name] = noted

    @contextmanager
    def _cluster(self, max_connections: int) -> Iterator[None]:
        """Run a PostgreSQL with a seeded database, and a monitor."""
        directory = self.directory / f"postgresql-{max_connections}"
        with Cluster(directory, throw_away=True, max_connections=max_connections) as cluster:
            names = dict.fromkeys(each.project for each in self.chosen)
            projects = [self.environments.project(name) for name in names]
            for project in projects:  # gunicorn does not start without its static files
                manage(project, cluster.url, "collectstatic", "--no-input", "--verbosity=0")
            self._session = seed(projects[0], cluster)
            self._monitor = Monitor(cluster)
            self.figures["machine"]["PostgreSQL"] = self._monitor.release
            try:
                yield
            finally:
                self._monitor.close()

    @contextmanager
    def _running(self, chosen: Iterable[Configuration]) -> Iterator[list[Member]]:
        """Start those of `chosen` that start, until the context ends."""
        arguments = self.environments, self._monitor, self._session, self.directory
        members: list[Member] = []
        with ExitStack() as stack:
            for each in chosen:
                with self._noted(each):
                    member = Member(each, *arguments)
                    stack.callback(member.stop)
                    member.start()
                    members.append(member)
            yield members

    def _side_by_side(self, group: list[Configuration]) -> None:
        """Measure configurations that are compared: all run, and one at a time has work.

        So the rounds of a load follow one another within seconds, and meet the same machine.
        """
        with self._running(group) as members:
            for load in self.plan.loads:
                chosen = [each for each in members if is_measured(load, each.configuration)]
                turns = [
                    (number, member)
                    for number in range(1, self.plan.rounds + 1)
                    for member in shuffled(chosen, number)
                ]
                for number, member in progress(turns, f"{group[0].group}: {load}"):
                    for run in self._tries(member, load):
                        self.figures["runs"].append({"round": number, **run})

    def _tries(self, member: Member, load: Load) -> Iterator[dict[str, Any]]:
        """Yield one run, and others while one worker gets nearly all clients."""
        with self._noted(member.configuration):
            for further in reversed(range(AGAIN + 1)):
                run, _ = member.measure(load, self.plan.seconds)
                repeated = bool(run["lopsided"] and further)
                yield {**run, "repeated": repeated}
                member.recover(after_failures=bool(run["failed"]))
                if not repeated:
                    return

    def _alone(
        self, title: str, chosen: list[Configuration], measure: Callable[[Member], None]
    ) -> None:
        """Start each of `chosen` while nothing else runs, and measure it."""
        for each in progress(chosen, title):
            with self._running([each]) as members, self._noted(each):
                for member in members:
                    measure(member)

    def _overload(self, member: Member) -> None:
        with self._monitor.watching(member.database) as seen:
            run = asyncio.run(overload(member.server.url, self.plan.overload))
        configuration = member.configuration
        noted = {
            "configuration": configuration.name,
            "bound": configuration.bound,
            "timeout": configuration.environment.get(SLOT_TIMEOUT),
            "peak": seen.peak,
            "samples": len(seen.series),
        }
        self.figures["overload"].append({**noted, **run})

    def _minute(self, member: Member) -> None:
        run, seen = member.measure(NEW_TCP, self.plan.minute)
        noted = {**run, "series": highest(seen.series)}
        self.figures["minute"][member.configuration.name] = noted

    @contextmanager
    def _noted(self, configuration: Configuration) -> Iterator[None]:
        """Note an error of `configuration`, whatever it is, and go on with the others."""
        try:
            yield
        except Exception as error:
            reason = str(error) or type(error).__name__
            CONSOLE.print(f"FAILED {configuration.name}: {reason[-SHOWN:]}")
            self.figures["failed"].setdefault(configuration.name, reason)


def progress(items: list[Item], title: str) -> Iterable[Item]:
    """Yield `items`, and show how many are done: a bar on a terminal, else a line at the end."""
    return track(items, title, console=CONSOLE) if items else items


def overloaded(chosen: Iterable[Configuration]) -> list[Configuration]:
    """Return the configurations for the overload: services once for each time-out."""
    found = []
    for each in chosen:
        if each.name in OVERLOADED:
            for timeout in SLOT_TIMEOUTS:
                changed = each.environment | {SLOT_TIMEOUT: timeout}
                found.append(replace(each, environment=changed))
        elif each.name in OVERLOADED_PEERS:
            found.append(each)
    return found


def shuffled(members: list[Member], seed: int) -> list[Member]:
    """Return another order in each round, and the same in each run of the bench."""
    return random.Random(seed).sample(members, len(members))  # noqa: S311


def highest(series: Iterable[tuple[float, Count]], step: float = 0.2) -> list[tuple[float, int]]:
    """Return the highest count of each step: as much as a picture can show."""
    counts: dict[int, int] = {}
    for at, count in series:
        key = int(at / step)
        counts[key] = max(count.open, counts.get(key, 0))
    return [(round(key * step, 1), count) for key, count in sorted(counts.items())]
