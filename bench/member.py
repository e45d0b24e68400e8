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
from bench.meters import Eye, memory, spent
from bench.plan import MAIN
from bench.servers import PostgreSQL, gunicorn

FEW = 200  # CPU ticks are too coarse to tell workers apart below so many requests


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
        """Raises Unavailable."""
        arguments = self.configuration, self.environments, self.server, self.directory
        self.running = self._stack.enter_context(gunicorn(*arguments))
        apply(self.url, MAIN, 1)  # warm it up

    def stop(self) -> None:
        """And wait until PostgreSQL has seen it."""
        self._stack.close()
        wait_until(lambda: self.eye.count(self.database) == 0)

    @property
    def url(self) -> str:
        return self.running.url

    def measure(self, load: Load, seconds: int) -> dict[str, Any]:
        """Put `load` on it, and note all there is to read meanwhile."""
        self.eye.rest(self.database)
        before = spent(self.running, self.server, self.eye)
        with self.eye.watching(self.database) as seen:
            answered = apply(self.url, load, seconds * self.configuration.times)
        used = spent(self.running, self.server, self.eye).since(before)
        return {
            "configuration": self.configuration.name,
            **dataclasses.asdict(load),
            **dataclasses.asdict(answered),
            "rate": answered.rate,
            "peak": seen.peak,
            "opened": seen.opened,
            "samples": len(seen.series),
            "cpu_gunicorn": used.gunicorn,
            "cpu_postgresql": used.postgresql,
            "memory": memory(self.running),
            "lopsided": used.lopsided and answered.requests > FEW,
        }

    def recover(self, after_failures: bool) -> None:
        """Start anew what failed, or what keeps more connections than others may have:
        neither its next run nor theirs should suffer for it."""
        settled = wait_until(lambda: self.eye.count(self.database) <= BOUND, deadline=1.0)
        if after_failures or not settled:
            self.stop()
            self.start()


def wait_until(condition: Callable[[], bool], deadline: float = 20.0) -> bool:
    """Whether `condition()` came to hold within `deadline` seconds."""
    give_up = time.monotonic() + deadline
    while not (held := condition()) and time.monotonic() < give_up:
        time.sleep(0.05)
    return held
