"""How many connections this service may open, against what the server allows. Pure arithmetic."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """Connections to one database.

    `usable` is max_connections less what PostgreSQL reserves for superusers and
    pg_use_reserved_connections.
    """

    workers: int
    slots: int
    replicas: int
    usable: int

    @property
    def steady(self) -> int:
        """The bound: no more than these are open while nothing is being replaced."""
        return self.workers * self.slots * self.replicas

    @property
    def reloading(self) -> int:
        """The bound while a reload or a rolling deploy starts new workers beside the old."""
        return 2 * self.steady

    def __str__(self) -> str:
        return (
            f"{self.workers} workers x {self.slots} slots x {self.replicas} replicas "
            f"= {self.steady} connections of {self.usable} usable"
        )
