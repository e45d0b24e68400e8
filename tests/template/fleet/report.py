"""Tell from the outcomes of one mode if the service has kept its promises."""

from dataclasses import dataclass

from tests.template.fleet.figures import Outcome


@dataclass(frozen=True)
class Budget:
    """What `manage.py database_budget` declares: connections to PostgreSQL, and of the service."""

    server: int
    clients: int


@dataclass(frozen=True)
class Report:
    """The outcomes of one mode: with PgBouncer, or direct."""

    mode: str
    budget: Budget
    outcomes: list[Outcome]

    def problems(self) -> list[str]:
        """Return what broke the promise: a planned event that failed requests, or the bound."""
        found = []
        for each in self.outcomes:
            where = f"{self.mode}, {each.event}"
            if each.server > self.budget.server:
                found.append(f"{where}: {each.server} connections, {self.budget.server} allowed")
            if each.clients is not None and each.clients > self.budget.clients:
                found.append(f"{where}: {each.clients} clients, {self.budget.clients} allowed")
            if each.planned and each.failed:
                found.append(f"{where}: failed {sum(each.failed.values())} requests")
            if each.recovery is None:
                found.append(f"{where}: did not recover")
        return found
