"""Medians and spreads of repeats, and ratios pair by pair, from the figures of one run."""

from dataclasses import dataclass
from statistics import median
from typing import Any

from bench.load import Load

Run = dict[str, Any]


@dataclass(frozen=True)
class Spread:
    """The median of some repeats, with the lowest and the highest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> "Spread":
        return cls(median(values), min(values), max(values))


def is_service(name: str) -> bool:
    """Whether a configuration of this name is a generated project."""
    return ": slots, " in name


def balanced(tries: list[Run]) -> list[Run]:
    """Those that count: not repeated, and of these the balanced, or all where none was."""
    kept = [run for run in tries if not run["repeated"]]
    return [run for run in kept if not run["lopsided"]] or kept


class Figures:
    """What the bench noted, asked by configuration and load."""

    def __init__(self, figures: dict[str, Any]) -> None:
        self.raw = figures

    def runs(self, configuration: str, load: Load) -> list[Run]:
        """Its repeats; where a worker got all clients, only if that happened in all of them."""
        return balanced(self.tries(load, configuration))

    def tries(self, load: Load, configuration: str = "") -> list[Run]:
        """All that were made, those that were repeated as well."""
        wanted = (load.view, load.clients, load.keep_alive)
        return [
            run
            for run in self.raw["runs"]
            if (run["view"], run["clients"], run["keep_alive"]) == wanted
            and configuration in ("", run["configuration"])
        ]

    def spread(self, configuration: str, load: Load, measure: str) -> Spread | None:
        """None where it was not measured."""
        runs = self.runs(configuration, load)
        if measure in PER_REQUEST:
            runs = [run for run in runs if run["requests"]]
        found = [value_of(run, measure) for run in runs if run.get(measure, 0) is not None]
        return Spread.of(found) if found else None

    def ratio(self, ours: str, theirs: str, load: Load, measure: str) -> Spread | None:
        """Ours over theirs, round by round."""
        mine = {run["round"]: value_of(run, measure) for run in self.runs(ours, load)}
        other = {run["round"]: value_of(run, measure) for run in self.runs(theirs, load)}
        pairs = [mine[number] / other[number] for number in mine if other.get(number)]
        return Spread.of(pairs) if pairs else None

    def of_service(self, worker_class: str) -> list[Run]:
        """All that was asked of generated projects of a worker class, whatever became of it."""
        minutes = [
            {"configuration": name, "view": "query", **noted}
            for name, noted in self.raw["over_time"].items()
        ]
        return [
            run
            for run in self.raw["runs"] + self.raw["sweep"] + minutes
            if is_service(run["configuration"])
            and run["configuration"].startswith(f"{worker_class}:")
        ]

    def bound(self, configuration: str) -> int | None:
        bound: int | None = self.raw["configurations"][configuration]["bound"]
        return bound

    def sweep(self, worker_class: str, view: str) -> dict[int, Spread]:
        """Requests per second by slots per worker."""
        found: dict[int, list[Run]] = {}
        for run in self.raw["sweep"]:
            if (run["worker_class"], run["view"]) == (worker_class, view):
                found.setdefault(run["slots"], []).append(run)
        rates = {n: [run["rate"] for run in balanced(runs)] for n, runs in sorted(found.items())}
        return {slots: Spread.of(measured) for slots, measured in rates.items() if measured}


# CPU time, in microseconds.
PER_REQUEST = ("cpu_gunicorn_us", "cpu_postgresql_us")
# A further slot beyond the knee brings less than the rest of this part of the best throughput.
KNEE = 0.95


def knee(sweep: dict[int, Spread]) -> int:
    """The fewest slots that reach KNEE of the best throughput."""
    best = max(spread.median for spread in sweep.values())
    return next(slots for slots, spread in sweep.items() if spread.median >= KNEE * best)


def value_of(run: Run, measure: str) -> float:
    """A figure of `run`: one that was noted, or one per request."""
    if measure in PER_REQUEST:
        return 1e6 * float(run[measure.removesuffix("_us")]) / float(run["requests"])
    if measure == "failed":
        return float(sum(run["failed"].values()))
    return float(run[measure])
