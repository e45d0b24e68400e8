"""Compare the connections that a service may open with those that its server allows."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """Connections to one server. `aliases` counts the databases in DATABASES that it has.

    `usable` is max_connections less what PostgreSQL reserves for superusers and for
    pg_use_reserved_connections. `background` counts what processes other than gunicorn's workers
    may open, in all replicas together.
    """

    workers: int
    slots: int
    aliases: int
    replicas: int
    usable: int
    background: int = 0

    @property
    def steady(self) -> int:
        """The bound: no more than these are open while nothing is being replaced."""
        return self._serving + self.background

    @property
    def reloading(self) -> int:
        """The bound while a reload or a rolling deploy starts new workers beside the old.

        Background processes are not doubled: the setting is their peak.
        """
        return 2 * self._serving + self.background

    @property
    def _serving(self) -> int:
        return self.workers * self.slots * self.aliases * self.replicas

    def __str__(self) -> str:
        aliases = f" x {self.aliases} aliases" if self.aliases > 1 else ""
        background = f" + {self.background} background" if self.background else ""
        return (
            f"{self.workers} workers x {self.slots} slots{aliases} x {self.replicas} replicas"
            f"{background} = {self.steady} connections of {self.usable} usable"
        )
