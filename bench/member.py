"""One configuration that runs beside others, and how it is measured."""

import dataclasses
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.configurations import BOUND, Configuration
from bench.environments import Environments
from bench.load import Load, apply
from bench.meters import LOPSIDED, Eye, memory, spent
from bench.plan import MAIN, PLAIN
from bench.servers import PostgreSQL, gunicorn

SETTLES = 3.0  # seconds that it may take to end what clients left behind
LOOK = 0.1  # seconds between two looks at its CPU time
IDLE = 0.1  # of one core, which counts as doing nothing
FEW = 0.2  # seconds of CPU time, below which its ticks are too coarse to tell workers apart


class Member:
    """A configuration that runs beside others, on a database of its own."""

    def __init__(
        self,
        configuration: Configuration,
        environments: Environments,
        server: PostgreSQL,
        eye: Eye,
        directory: Path,
    ) -> None:
        self.configuration = configuration
        self.environments = environments
        self.eye = eye
        self.database = eye.new_database()
        self.server = server.with_database(self.database)
        self.directory = directory / self.database
        self._stack = ExitStack()

    def start(self) -> None:
        """Raises Unavailable, and what the warm-up raises."""
        arguments = self.configuration, self.environments, self.server, self.directory
        with ExitStack() as stack:
            self.running = stack.enter_context(gunicorn(*arguments))
            # What has no bound would come to its first run with a connection for each client.
            apply(self.url, MAIN if self.configuration.bound else PLAIN, 1)
            self._stack = stack.pop_all()
        wait_until(self._rests, deadline=SETTLES)

    def stop(self) -> None:
        """And wait until PostgreSQL has seen it."""
        self._stack.close()
        wait_until(lambda: self.eye.count(self.database) == 0)

    @property
    def url(self) -> str:
        return self.running.url

    def measure(self, load: Load, seconds: int) -> dict[str, Any]:
        """Put `load` on it, and note all there is to read meanwhile."""
        before = spent(self.running, self.server, self.eye)
        with self.eye.watching(self.database) as seen:
            answered = apply(self.url, load, seconds * self.configuration.times)
        used = spent(self.running, self.server, self.eye).since(before)
        return {
            "configuration": self.configuration.name,
            "bound": self.configuration.bound,
            **dataclasses.asdict(load),
            **dataclasses.asdict(answered),
            "rate": answered.rate,
            "peak": seen.peak,
            "opened": seen.opened,
            "samples": len(seen.series),
            "cpu_gunicorn": used.gunicorn,
            "cpu_postgresql": used.postgresql,
            "memory": memory(self.running),
            "busiest_worker": used.busiest,
            "lopsided": used.busiest > LOPSIDED and used.gunicorn > FEW,
        }

    def recover(self, after_failures: bool = False) -> None:
        """Wait until it has ended what the clients left behind: the next run is another's.

        What failed is started anew, and so is what goes on for long or keeps more connections
        than others may have.
        """
        at_rest = wait_until(self._rests, deadline=SETTLES)
        most = self.configuration.bound or BOUND
        if after_failures or not at_rest or self.eye.count(self.database) > most:
            self.stop()
            self.start()

    def _rests(self) -> bool:
        """Whether neither its gunicorn nor PostgreSQL has anything to do for it."""
        if self.eye.active(self.database):
            return False
        before = spent(self.running, self.server, self.eye)
        time.sleep(LOOK)
        used = spent(self.running, self.server, self.eye).since(before)
        return used.gunicorn + used.postgresql <= LOOK * IDLE


def wait_until(condition: Callable[[], bool], deadline: float = 20.0) -> bool:
    """Whether `condition()` came to hold within `deadline` seconds."""
    give_up = time.monotonic() + deadline
    while not (held := condition()) and time.monotonic() < give_up:
        time.sleep(0.05)
    return held
