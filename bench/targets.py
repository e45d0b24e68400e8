"""Judge the promises: the ratios of targets.toml, the counts of all services, and the overload."""

import operator
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.figures import Figures, Spread
from bench.loads import OTHER_SERVICE, Load

RATIOS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())["ratios"]
OPENED = 0.001  # connections per request, after the warm-up
EXPECTED = ("200", "503")  # of an overloaded service
RECOVERY = 1.0  # seconds
COMPARE = {">=": operator.ge, "<=": operator.le, "<": operator.lt, "=": operator.eq}


@dataclass(frozen=True)
class Target:
    """One promise, and the figures that it is judged by."""

    load: str
    what: str
    compare: str
    limit: float
    measured: Spread
    missed: str = ""  # which explanation of the report belongs to it

    @property
    def met(self) -> bool:
        """Return True if the median keeps the promise."""
        return bool(COMPARE[self.compare](self.measured.median, self.limit))

    @property
    def gap(self) -> str:
        """Return by how much a promise is missed: a part of what is wanted."""
        missed = self.limit and not self.met
        return f"{abs(1 - self.measured.median / self.limit):.0%}" if missed else ""


def judge(figures: Figures) -> list[Target]:
    """Return all targets for which the run has figures."""
    return [*_ratios(figures), *_counts(figures), *_overload(figures)]


def _ratios(figures: Figures) -> Iterator[Target]:
    for target in RATIOS:
        for view in target["loads"]:
            measured = _ratio(figures, Load(view), target)
            if measured:
                compare = "<=" if "at_most" in target else ">="
                limit = target.get("at_most") or target["at_least"]
                missed = target["missed"]
                yield Target(view, target["what"], compare, limit, measured, missed)


def _ratio(figures: Figures, load: Load, target: dict[str, Any]) -> Spread | None:
    ours, value = target["ours"], target.get("value", "rate")
    if target.get("ideal"):
        ideal = load.clients / OTHER_SERVICE
        return Spread.of(run["rate"] / ideal for run in figures.runs(ours, load))
    peers = {name: figures.spread(name, load, value) for name in target["peers"]}
    medians = {name: spread.median for name, spread in peers.items() if spread}
    if len(medians) < len(peers):
        return None  # one that is missing could be the best
    best = (min if "at_most" in target else max)(medians, key=medians.__getitem__)
    return figures.ratio(ours, best, load, value)


def _counts(figures: Figures) -> Iterator[Target]:
    """Yield the bound, the opened connections, and the failures of all services together."""
    runs = [run for name in figures.services for run in figures.every_run(name)]
    if not runs:
        return
    overloads = [run for run in figures.raw["overload"] if run["configuration"] in figures.services]
    most = max(run["peak"] / run["bound"] for run in [*runs, *overloads])
    samples = sum(run["samples"] for run in [*runs, *overloads])
    what = f"most connections / (workers x slots), at any of {samples:,} samples"
    yield _single("all", what, "<=", 1, most)
    requests = sum(run["requests"] for run in runs)
    opened = sum(run["opened"] for run in runs) / max(1, requests)
    what = f"connections opened per request after the warm-up, of {requests:,}"
    yield _single("all", what, "<", OPENED, opened)
    failed = sum(sum(run["failed"].values()) for run in runs)
    yield _single("all", f"failed requests, of {requests:,}", "=", 0, failed)


def _overload(figures: Figures) -> Iterator[Target]:
    """Yield what is promised of an overload, for each service and time-out that was measured."""
    for run in figures.raw["overload"]:
        if run["timeout"] is None:
            continue
        timeout = float(run["timeout"])
        name = f"{run['configuration']}, time-out {timeout:g} s"
        limit = 2 * run["unloaded"] + 1000 * timeout
        served = run["served"] or float("inf")
        yield _single("overload", f"{name}: median of served requests, ms", "<=", limit, served)
        other = sum(count for kind, count in run["statuses"].items() if kind not in EXPECTED)
        yield _single("overload", f"{name}: answers other than 200 and 503", "=", 0, other)
        if timeout <= RECOVERY:
            what = f"{name}: seconds until the recovery"
            yield _single("overload", what, "<=", RECOVERY, run["recovery"])


def _single(load: str, what: str, compare: str, limit: float, value: float) -> Target:
    return Target(load, what, compare, limit, Spread(value, value, value), load)
