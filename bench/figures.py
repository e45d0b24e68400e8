"""Statistics over the runs: medians of rounds, and ratios within a round."""

import json
import statistics
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bench.loads import LOADS, Load
from bench.run import Plan

Run = dict[str, Any]


@dataclass(frozen=True)
class Spread:
    """The median of some values, and their range."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        """Return the spread of `values`, of which there has to be one at least."""
        ordered = sorted(values)
        return cls(statistics.median(ordered), ordered[0], ordered[-1])


class Figures:
    """What `figures.json` says, by configuration and load."""

    def __init__(self, raw: dict[str, Any]) -> None:
        self.raw = raw

    @property
    def names(self) -> list[str]:
        """Return the configurations that were measured, in the order of the plan."""
        return list(self.raw["configurations"])

    @property
    def services(self) -> list[str]:
        """Return those of them that are generated services."""
        return [name for name in self.names if ": slots, " in name]

    def runs(self, name: str, load: Load) -> list[Run]:
        """Return the runs of a configuration, without those that were repeated."""
        wanted = (name, load.view, load.clients, load.keep_alive)
        keys = ("configuration", "view", "clients", "keep_alive")
        found = [run for run in self.raw["runs"] if tuple(run[key] for key in keys) == wanted]
        return [run for run in found if not run["repeated"]]

    def every_run(self, name: str) -> list[Run]:
        """Return all runs of a configuration, the repeated ones and the minute included."""
        minute = self.raw["minute"].get(name)
        runs = [run for run in self.raw["runs"] if run["configuration"] == name]
        return runs + ([minute] if minute else [])

    def spread(self, name: str, load: Load, value: str) -> Spread | None:
        """Return the spread over the rounds of one value."""
        runs = self.runs(name, load)
        return Spread.of(run[value] for run in runs) if runs else None

    def cpu(self, name: str, load: Load, part: str = "") -> float | None:
        """Return CPU milliseconds per request: of all, or of "application" or "postgresql"."""
        runs = self.runs(name, load)
        parts = [part] if part else ["application", "postgresql"]
        used = sum(run[f"cpu_{each}"] for run in runs for each in parts)
        requests = sum(sum(run["each_second"]) for run in runs)
        return 1000 * used / requests if requests else None

    def peak(self, name: str) -> int:
        """Return the most connections that a configuration had under any load."""
        runs = [run for run in self.raw["runs"] if run["configuration"] == name]
        return max((int(run["peak"]) for run in runs), default=0)

    def failed(self, name: str, load: Load) -> Counter[str]:
        """Return the failures of all rounds by kind."""
        return sum((Counter(run["failed"]) for run in self.runs(name, load)), Counter())

    def measured(self, load: Load) -> list[str]:
        """Return the configurations that have runs of `load`."""
        return [name for name in self.names if self.runs(name, load)]

    def ratio(self, ours: str, theirs: str, load: Load, value: str = "rate") -> Spread | None:
        """Return the spread of the ratio of two configurations, taken within each round."""
        peers = {run["round"]: run[value] for run in self.runs(theirs, load)}
        pairs = [(run[value], peers.get(run["round"])) for run in self.runs(ours, load)]
        ratios = [mine / other for mine, other in pairs if other]
        return Spread.of(ratios) if ratios else None


def is_whole(raw: dict[str, Any]) -> bool:
    """Return True if the run left nothing out and came to its end: its figures may be quoted."""
    plan = raw["plan"]
    everything = not plan["only"] and len(plan["loads"]) == len(LOADS) and "minutes" in raw
    return everything and plan["rounds"] >= Plan.rounds and plan["seconds"] >= Plan.seconds


def dumps(raw: dict[str, Any]) -> str:
    """Return JSON with a line for each run and each configuration: diffs stay readable."""
    parts = []
    for key, value in raw.items():
        if isinstance(value, list) and value:
            rows = ",\n".join(f"    {json.dumps(_rounded(row))}" for row in value)
            parts.append(f'  "{key}": [\n{rows}\n  ]')
        elif key in ("minute", "configurations") and value:
            rows = ",\n".join(
                f"    {json.dumps(name)}: {json.dumps(_rounded(row))}"
                for name, row in value.items()
            )
            parts.append(f'  "{key}": {{\n{rows}\n  }}')
        else:
            parts.append(f'  "{key}": {json.dumps(value)}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {
        key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()
    }
