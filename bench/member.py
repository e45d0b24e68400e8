"""A configuration that runs beside others, on a database of its own."""

import os
import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.configurations import SLOTS, WORKERS, Configuration
from bench.environments import Environments
from bench.loads import DB, Load, apply
from bench.meters import Connections, Monitor, Spent, memory, spent
from bench.servers import serving, wait_until

# A worker with more than this part of the workers' CPU time had nearly all clients.
LOPSIDED = 0.85
LITTLE = 0.2  # seconds of CPU time, below which the system's ticks do not tell workers apart
# It reads nothing from the database: what has no bound would keep 100 connections of the warm-up.
HOME = Load("")
REST = 3.0  # seconds to finish what clients left behind
LOOK = 0.1  # seconds between two looks at the CPU time
IDLE = 0.1  # of one core: as good as nothing
STOP = 20.0  # seconds until PostgreSQL has ended the sessions of a server that stopped


class Member:
    """Start, measure, and stop one configuration."""

    def __init__(
        self,
        configuration: Configuration,
        environments: Environments,
        monitor: Monitor,
        session: str,
        directory: Path,
    ) -> None:
        self.configuration = configuration
        self.database = monitor.new_database()
        self._project = environments.project(configuration.project)
        self._monitor = monitor
        self._session = session
        self._directory = directory / self.database
        self._stack = ExitStack()

    def start(self) -> None:
        """Start and warm up. Raise Unavailable if it does not serve."""
        url = self._monitor.cluster.url.rpartition("/")[0] + f"/{self.database}"
        with ExitStack() as stack:
            serves = serving(self.configuration, self._project, url, self._directory)
            self.server = stack.enter_context(serves)
            apply(self.server.url, DB if self.configuration.bound else HOME, 1)
            wait_until(self._rests, REST)
            self._stack = stack.pop_all()

    def stop(self) -> None:
        """Stop, and wait until PostgreSQL has ended the sessions."""
        self._stack.close()
        wait_until(lambda: self._monitor.count(self.database).open == 0, STOP)

    def measure(self, load: Load, seconds: int) -> tuple[dict[str, Any], Connections]:
        """Put `load` on it, and return all that was read, and the samples of its connections."""
        before = self._spent()
        with self._monitor.watching(self.database, load.warm_up) as seen:
            answered = apply(self.server.url, load, seconds, self._session)
        used = self._spent().since(before)
        os.truncate(self.server.log, 0)
        figures = {
            "configuration": self.configuration.name,
            "bound": self.configuration.bound,
            **asdict(load),
            **asdict(answered),
            "peak": seen.peak,
            "opened": seen.opened,
            "samples": len(seen.series),
            "cpu_application": used.application,
            "cpu_postgresql": used.postgresql,
            "memory": memory(self.server),
            "busiest_worker": used.busiest,
            "lopsided": used.busiest > LOPSIDED and used.application > LITTLE,
        }
        return figures, seen

    def recover(self, *, after_failures: bool = False) -> None:
        """Wait until it has finished what the clients left behind: the next run is another's.

        It is started anew if requests failed, if it does not come to rest, or if it keeps more
        connections than others may have.
        """
        rests = wait_until(self._rests, REST)
        most = self.configuration.bound or WORKERS * SLOTS
        if after_failures or not rests or self._monitor.count(self.database).open > most:
            self.stop()
            self.start()

    def _spent(self) -> Spent:
        return spent(self.server, self._monitor)

    def _rests(self) -> bool:
        if self._monitor.count(self.database).active:
            return False
        before = self._spent()
        time.sleep(LOOK)
        used = self._spent().since(before)
        return used.application + used.postgresql <= LOOK * IDLE
