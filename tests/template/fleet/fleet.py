"""Run the instances with what they need, and know what can happen to them."""

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg

from baking.pgbouncer import PgBouncer
from baking.project import Project
from connection_slots.testing.server import PRODUCTION, wait_for
from devdb import Cluster
from tests.template.fleet.instances import Instance, free_port_below
from tests.template.fleet.proxy import HAProxy
from tests.template.fleet.report import Budget

REPLICAS, ADDED = 4, 1  # those that run from the beginning, and the one that an event adds
WORKERS, SLOTS = 2, 2  # of each replica, and of each worker
# Less than the slots and less than the clients of the load, so that transactions share connections.
POOL_SIZE, MAX_CLIENTS = 8, 1000
DEADLINE = 60.0  # seconds for HAProxy to notice what an instance does

Say = Callable[[str], None]


class Fleet:
    """The instances, HAProxy, PgBouncer unless `direct`, and PostgreSQL."""

    def __init__(self, project: Project, directory: Path, *, direct: bool, say: Say) -> None:
        """Configure everything, with its files in `directory`. started() starts it."""
        used: set[int] = set()
        self.mode = "direct" if direct else "PgBouncer"
        self.say = say
        self._project = project
        (directory / "database").mkdir()
        # Cluster uses the port that is noted there.
        (directory / "database" / "port").write_text(str(free_port_below(used)))
        self.cluster = Cluster(directory / "database", name="fleet", throw_away=True)
        self.pgbouncer: PgBouncer | None = None
        self._direct = direct
        self._directory = directory
        self._used = used

    @contextmanager
    def started(self) -> Iterator[None]:
        """Run everything for the block: the fifth instance is known to HAProxy, and is down."""
        with ExitStack() as stack:
            self.say("start PostgreSQL")
            stack.enter_context(self.cluster)
            if not self._direct:
                self._start_pgbouncer(stack)
            environment = self._environment()
            self.budget = self._declared(environment)
            self.instances = [
                Instance(
                    f"web{number}",
                    self._project,
                    free_port_below(self._used),
                    self._directory,
                    environment,
                )
                for number in range(1, REPLICAS + ADDED + 1)
            ]
            self.proxy = HAProxy(
                free_port_below(self._used),
                {each.name: each.port for each in self.instances},
                self._directory,
            )
            self.say(f"start {REPLICAS} instances and HAProxy")
            for each in self.instances:
                stack.callback(each.kill)  # the load has ended by then
                if each in self.instances[:REPLICAS]:
                    each.start()
            stack.callback(self.proxy.stop)
            self.proxy.start()
            for each in self.instances[:REPLICAS]:
                self._wait_until_used(each)
            added = self.instances[REPLICAS]
            self._wait_until_unused(added)
            yield

    def _start_pgbouncer(self, stack: ExitStack) -> None:
        self.say("start PgBouncer")
        self.pgbouncer = PgBouncer(
            self.cluster.url, pool_size=POOL_SIZE, port=free_port_below(self._used)
        )
        stack.callback(self.pgbouncer.remove)
        stack.callback(self.pgbouncer.stop)
        self.pgbouncer.start()

    def _environment(self) -> dict[str, str]:
        url = self.cluster.url if self.pgbouncer is None else self.pgbouncer.url
        return {
            "DATABASE_URL": url,
            "DATABASE_POOLER": "" if self.pgbouncer is None else "transaction",
            "WEB_CONCURRENCY": str(WORKERS),
            "DATABASE_SLOTS": str(SLOTS),
            "REPLICAS": str(REPLICAS + ADDED),
        }

    def _declared(self, environment: dict[str, str]) -> Budget:
        """Return the budget of the service, and give its role the timeouts that it needs.

        Raises CommandFailed if the budget does not fit the server.

        No instance is started before its predecessor has ended, so the bound is the one that
        holds while nothing is replaced.
        """
        declared = self._directory / "database.toml"
        pooler = f"instances = 1\npool_size = {POOL_SIZE}\nmax_clients = {MAX_CLIENTS}\n"
        declared.write_text("" if self.pgbouncer is None else f"[pgbouncer]\n{pooler}")
        command = ["uv", "run", "--no-sync", "python", "manage.py", "database_budget"]
        given = {**PRODUCTION, **environment, "ENV_FILE": ""}
        done = self._project.run(*command, "--json", "--declared", str(declared), **given)
        found = json.loads(done.stdout)
        done = self._project.run(*command, "--sql", "--declared", str(declared), **given)
        with psycopg.connect(self.cluster.url, autocommit=True) as connection:
            for line in done.stdout.splitlines():
                # PostgreSQL must not enforce what the service has to keep by itself.
                if "CONNECTION LIMIT" not in line:
                    connection.execute(line.encode())
        return Budget(found["server"], found["opened"])

    def _wait_until_used(self, instance: Instance) -> None:
        def is_used() -> bool:
            instance.assert_runs()
            return self.proxy.statuses()[instance.name] == "UP"

        wait_for(is_used, f"HAProxy to use {instance.name}", DEADLINE)

    def _wait_until_unused(self, instance: Instance) -> None:
        name = instance.name
        wait_for(lambda: not self.proxy.uses(name), f"HAProxy to take {name} out", DEADLINE)

    # Events

    def events(self) -> list[tuple[str, bool, Callable[[], None]]]:
        """Return the events in their order: name, whether it is planned, and what happens."""
        found = [
            ("no event", True, lambda: None),
            ("rolling restart of all instances", True, self.restart_all),
            ("one instance killed", False, self.kill_one),
            ("PgBouncer restarted", False, self.restart_pgbouncer),
            ("PostgreSQL restarted", False, self.restart_postgresql),
            ("replica added", True, self.add_one),
        ]
        return [each for each in found if self.pgbouncer or each[2] != self.restart_pgbouncer]

    def restart_all(self) -> None:
        """Replace one instance after the other, as a deploy does."""
        for instance in self.instances[:REPLICAS]:
            name = instance.name
            instance.drain()
            self._wait_until_unused(instance)
            began = time.monotonic()
            instance.stop()
            self.say(f"  {name} drained and stopped, in {time.monotonic() - began:.1f} s")
            instance.start()
            self._wait_until_used(instance)

    def kill_one(self) -> None:
        """Kill an instance, and start it again when HAProxy has noticed."""
        instance = self.instances[0]
        instance.kill()
        self._wait_until_unused(instance)
        instance.start()
        self._wait_until_used(instance)

    def restart_pgbouncer(self) -> None:
        """Stop PgBouncer as its manifest does, when its transactions have ended, and start it."""
        assert self.pgbouncer is not None
        self.pgbouncer.stop(signal.SIGINT)
        self.pgbouncer.start()

    def restart_postgresql(self) -> None:
        """Stop PostgreSQL, which ends all sessions, and start it."""
        self.cluster.stop()
        self.cluster.start()

    def add_one(self) -> None:
        """Start the instance that HAProxy knows as down."""
        added = self.instances[REPLICAS]
        added.start()
        self._wait_until_used(added)
