"""Compare the connections that a service may open with those that its server allows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


class UnknownBudget(Exception):
    """The budget cannot be told. The message says in one line what is missing or wrong."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


@dataclass(frozen=True)
class Server:
    """The connections that a PostgreSQL server has, and those that are not this service's.

    `reserved` is the sum of superuser_reserved_connections and reserved_connections. `others`
    counts the connections of other services by their names.
    """

    max_connections: int
    reserved: int = 3
    others: Mapping[str, int] = field(default_factory=dict)

    @property
    def usable(self) -> int:
        """The connections that are left for this service."""
        return self.max_connections - self.reserved - sum(self.others.values())


@dataclass(frozen=True)
class Pooler:
    """PgBouncer in transaction mode. Each instance has a pool for each alias.

    `pool_size` is default_pool_size plus reserve_pool_size, `max_clients` is max_client_conn, and
    `replaced` counts the instances that a deploy of PgBouncer may run beside the others.
    """

    instances: int
    pool_size: int
    max_clients: int
    replaced: int = 0


def as_many_again(replicas: int) -> int:
    """Return how many a reload replaces: all at once."""
    return replicas


@dataclass(frozen=True)
class Budget:
    """The connections of one service to one server, of which `aliases` in DATABASES are.

    `replaced` returns how many may exist beside so many replicas while a reload or a deploy
    replaces workers. `background` counts what processes other than
    gunicorn's workers may open, in all replicas together; it is their peak, so a deploy does not
    double it.
    """

    workers: int
    slots: int
    aliases: int
    replicas: int
    usable: int
    background: int = 0
    replaced: Callable[[int], int] = as_many_again
    pooler: Pooler | None = None

    @property
    def per_replica(self) -> int:
        """The bound of one replica."""
        return self.workers * self.slots * self.aliases

    @property
    def clients(self) -> int:
        """The bound of what the service opens while nothing is being replaced."""
        return self.replicas * self.per_replica + self.background

    @property
    def clients_replacing(self) -> int:
        """The bound of what the service opens while workers are being replaced."""
        replicas = self.replicas + self.replaced(self.replicas)
        return replicas * self.per_replica + self.background

    @property
    def steady(self) -> int:
        """The bound of connections to the server while nothing is being replaced."""
        return self.clients if self.pooler is None else self._pooled(self.pooler.instances)

    @property
    def replacing(self) -> int:
        """The bound of connections to the server while a reload or a deploy replaces processes."""
        if self.pooler is None:
            return self.clients_replacing
        return self._pooled(self.pooler.instances + self.pooler.replaced)

    @property
    def fits(self) -> bool:
        """True if the server, and the pooler if there is one, have enough at any time."""
        return self.clients_replacing <= self._room and self.replacing <= self.usable

    @property
    def largest_replicas(self) -> int:
        """The most replicas that fit, as everything else is. 0 if none does."""
        most = (self._room - self.background) // self.per_replica
        return next((n for n in range(most, 0, -1) if n + self.replaced(n) <= most), 0)

    @property
    def largest_slots(self) -> int:
        """The most slots per worker that fit, as everything else is. 0 if none does."""
        workers = (self.replicas + self.replaced(self.replicas)) * self.workers * self.aliases
        return max((self._room - self.background) // workers, 0)

    @property
    def _room(self) -> int:
        """What takes the service's connections: the server, or all instances of the pooler."""
        if self.pooler is None:
            return self.usable
        return self.pooler.instances * self.pooler.max_clients

    def _pooled(self, instances: int) -> int:
        assert self.pooler is not None  # noqa: S101
        # Background processes, such as migrations, may connect directly.
        return instances * self.pooler.pool_size * self.aliases + self.background

    def __str__(self) -> str:
        aliases = f" x {self.aliases} aliases" if self.aliases > 1 else ""
        background = f" + {self.background} background" if self.background else ""
        return (
            f"{self.workers} workers x {self.slots} slots{aliases} x {self.replicas} replicas"
            f"{background} = {self.clients} connections of {self.usable} usable"
        )
