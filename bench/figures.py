"""Statistics over the runs: medians of rounds, and ratios within a round."""

import json
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.loads import LOADS, Load
from bench.run import Plan

Run = dict[str, Any]
PARTS = ("began", "machine", "plan", "configurations", "failed", "runs", "minute", "overload")


@dataclass(frozen=True)
class Spread:
    """The median of some values, and their range."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread | None":
        """Return the spread of `values`, or None if there are none."""
        ordered = sorted(values)
        return cls(statistics.median(ordered), ordered[0], ordered[-1]) if ordered else None


class Figures:
    """What `figures.json` says, by configuration and load."""

    def __init__(self, raw: dict[str, Any]) -> None:
        self.raw = raw
        self.names = list(raw["configurations"])  # in the order of the plan
        self.services = [name for name in self.names if ": slots, " in name]
        self.groups: dict[str, list[str]] = defaultdict(list)  # those measured side by side
        for name, noted in raw["configurations"].items():
            self.groups[noted["group"]].append(name)
        self._runs: dict[tuple[str, Load], list[Run]] = defaultdict(list)
        for run in raw["runs"]:
            load = Load(run["view"], run["clients"], run["keep_alive"])
            if not run["repeated"]:
                self._runs[run["configuration"], load].append(run)

    def runs(self, name: str, load: Load) -> list[Run]:
        """Return the runs of a configuration, without those that were repeated."""
        return self._runs.get((name, load), [])

    def measured(self, load: Load) -> list[str]:
        """Return the configurations that have runs of a load."""
        return [name for name in self.names if self.runs(name, load)]

    def every_run(self, name: str) -> list[Run]:
        """Return all runs of a configuration, the repeated ones and the minute included."""
        minute = self.raw["minute"].get(name)
        runs = [run for run in self.raw["runs"] if run["configuration"] == name]
        return runs + ([minute] if minute else [])

    def spread(self, name: str, load: Load, value: str = "rate") -> Spread | None:
        """Return the spread over the rounds of one value."""
        return Spread.of(run[value] for run in self.runs(name, load))

    def ratio(self, ours: str, theirs: str, load: Load, value: str = "rate") -> Spread | None:
        """Return the spread of the ratio of two configurations, taken within each round."""
        peers = {run["round"]: run[value] for run in self.runs(theirs, load)}
        pairs = [(run[value], peers.get(run["round"])) for run in self.runs(ours, load)]
        return Spread.of(mine / other for mine, other in pairs if other)

    def settled(self, name: str, load: Load) -> list[Run]:
        """Return the runs of a configuration, or none if clients had too few answers in one.

        Where they had less than two each, the slowest requests are missing, and work was done for
        answers that nobody counted.
        """
        runs = self.runs(name, load)
        return runs if all(sum(run["each_second"]) >= 2 * load.clients for run in runs) else []

    def latency(self, name: str, load: Load, value: str) -> float | None:
        """Return the median over the rounds of "p50", "p95" or "p99", in milliseconds."""
        spread = Spread.of(run[value] for run in self.settled(name, load))
        return spread.median if spread else None

    def cpu(self, name: str, load: Load, part: str = "") -> float | None:
        """Return CPU milliseconds per request: of all, or of "application" or "postgresql"."""
        runs = self.settled(name, load)
        parts = [part] if part else ["application", "postgresql"]
        used = sum(run[f"cpu_{each}"] for run in runs for each in parts)
        return 1000 * used / sum(sum(run["each_second"]) for run in runs) if runs else None

    def samples_per_second(self) -> float:
        """Return how often connections were counted, as the median of all runs."""
        runs = self.raw["runs"]
        return float(statistics.median(run["samples"] / len(run["each_second"]) for run in runs))

    def peak(self, name: str, load: Load | None = None) -> int:
        """Return the most connections under `load`; without it, in all runs, repeated ones too."""
        every = (run for run in self.raw["runs"] if run["configuration"] == name)
        runs = self.runs(name, load) if load else every
        return max((int(run["peak"]) for run in runs), default=0)

    def failed(self, name: str, load: Load) -> Counter[str]:
        """Return the failures of all rounds by kind."""
        return sum((Counter(run["failed"]) for run in self.runs(name, load)), Counter())


def is_whole(raw: dict[str, Any]) -> bool:
    """Return True if the run left nothing out, and nothing failed: its figures may be quoted.

    A peer that is missing could have been the best one.
    """
    plan = raw["plan"]
    everything = not plan["only"] and len(plan["loads"]) == len(LOADS)
    long = plan["rounds"] >= Plan.rounds and plan["seconds"] >= Plan.seconds
    return everything and long and "minutes" in raw and not raw["failed"]


def read(file: Path) -> dict[str, Any]:
    """Return the figures that `file` has. Raise ValueError, which names it, if it has none."""
    try:
        raw = json.loads(file.read_text())
        Figures({part: raw[part] for part in PARTS})
    except FileNotFoundError:
        raise ValueError(f"{file} does not exist: run the bench without --report first") from None
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"{file} has no figures of this bench: {error!r}") from error
    return dict(raw)


def dumps(raw: dict[str, Any]) -> str:
    """Return JSON with a line for each run and each configuration: diffs stay readable."""
    raw = json.loads(json.dumps(raw), parse_float=lambda text: round(float(text), 4))
    parts = []
    for key, value in raw.items():
        text = json.dumps(value)
        if value and isinstance(value, list):
            text = "[\n" + ",\n".join(json.dumps(each) for each in value) + "\n]"
        elif value and isinstance(value, dict):
            rows = (f"{json.dumps(name)}: {json.dumps(each)}" for name, each in value.items())
            text = "{\n" + ",\n".join(rows) + "\n}"
        parts.append(f"{json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(parts) + "\n}\n"
