"""Judge the promises of targets.toml, and those that are counts and not ratios."""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.figures import Figures, Spread
from bench.loads import OTHER_SERVICE, Load

RATIOS = Path(__file__).with_name("targets.toml")
OPENED = 0.001  # connections per request, after the warm-up
EXPECTED = ("200", "503")  # of an overloaded service
RECOVERY = 1.0  # seconds


@dataclass(frozen=True)
class Target:
    """One promise, and the figures that it is judged by."""

    load: str
    what: str
    wanted: str
    measured: Spread
    met: bool
    missed: str = ""  # which explanation of the report belongs to it

    @property
    def gap(self) -> str:
        """Return by how much a promise is missed: a part of what is wanted."""
        limit = float(self.wanted.split()[1])
        return "" if self.met or not limit else f"{abs(1 - self.measured.median / limit):.0%}"


def judge(figures: Figures) -> list[Target]:
    """Return all targets for which the run has figures."""
    return [*_ratios(figures), *_counts(figures), *_overload(figures)]


def _ratios(figures: Figures) -> Iterator[Target]:
    for view, targets in tomllib.loads(RATIOS.read_text()).items():
        for target in targets.values():
            if measured := _measured(figures, Load(view), target):
                yield _judged(view, target, measured)


def _measured(figures: Figures, load: Load, target: dict[str, Any]) -> Spread | None:
    ours, value = target["ours"], target.get("value", "rate")
    if target.get("ideal"):
        ideal = load.clients / OTHER_SERVICE
        runs = figures.runs(ours, load)
        return Spread.of(run["rate"] / ideal for run in runs) if runs else None
    peers = [(figures.spread(name, load, value), name) for name in target["peers"]]
    best = max(((spread.median, name) for spread, name in peers if spread), default=None)
    return figures.ratio(ours, best[1], load, value) if best else None


def _judged(view: str, target: dict[str, Any], measured: Spread) -> Target:
    missed = target.get("missed", "")
    if "at_most" in target:
        limit = target["at_most"]
        met = measured.median <= limit
        return Target(view, target["what"], f"<= {limit:.2g}", measured, met, missed)
    limit = target["at_least"]
    met = measured.median >= limit
    return Target(view, target["what"], f">= {limit:.3g}", measured, met, missed)


def _counts(figures: Figures) -> Iterator[Target]:
    """Yield the bound, the opened connections, and the failures of all services together."""
    runs = [run for name in figures.services for run in figures.every_run(name)]
    if not runs:
        return
    overloads = [run for run in figures.raw["overload"] if run["configuration"] in figures.services]
    parts = [run["peak"] / run["bound"] for run in [*runs, *overloads]]
    samples = sum(run["samples"] for run in [*runs, *overloads])
    what = f"connections / (workers x slots), at each of {samples:,} samples"
    yield Target("all", what, "<= 1", Spread.of(parts), max(parts) <= 1)
    requests = sum(run["requests"] for run in runs)
    opened = sum(run["opened"] for run in runs) / max(1, requests)
    what = f"connections opened per request after the warm-up, of {requests:,}"
    yield Target("all", what, f"< {OPENED}", Spread.of([opened]), opened < OPENED)
    failed = sum(sum(run["failed"].values()) for run in runs)
    yield Target(
        "all", f"failed requests, of {requests:,}", "= 0", Spread.of([failed]), failed == 0
    )


def _overload(figures: Figures) -> Iterator[Target]:
    """Yield what is promised of an overload, for each service and time-out that was measured."""
    for run in figures.raw["overload"]:
        if run["timeout"] is None:
            continue
        timeout = float(run["timeout"])
        name = f"{run['configuration']}, time-out {timeout:g} s"
        limit = 2 * run["unloaded"] + 1000 * timeout
        served = run["served"] or float("inf")
        yield _at_most(f"{name}: median of served requests, ms", served, limit)
        other = sum(
            number for kind, number in run["statuses"].items() if kind not in ("200", "503")
        )
        yield _at_most(f"{name}: answers other than 200 and 503", other, 0)
        if timeout <= RECOVERY:
            yield _at_most(f"{name}: seconds until the recovery", run["recovery"], RECOVERY)


def _at_most(what: str, measured: float, limit: float) -> Target:
    met = measured <= limit
    return Target("overload", what, f"<= {limit:.4g}", Spread.of([measured]), met, "overload")
