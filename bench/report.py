"""The report: tables in Markdown, the figures as JSON, and the part of the README they fill."""

import json
import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from bench import pictures
from bench.analysis import Figures, Spread, is_service, knee
from bench.load import Load
from bench.plan import LOADS, MAIN, PLAIN
from bench.targets import targets

NEW_TCP = Load("query", 100, keep_alive=False)
VIEWS = {
    "query": "a quick query, which costs the server next to nothing",
    "slow": "a query of 50 ms",
    "wait": "50 ms of waiting for another service, no database",
    "plain": "nothing at all: the limit of gunicorn and Django",
}
# Rows of the README's table.
SHOWN = re.compile(r"gevent: (?!slots, psycopg$|never)|asgi: (?!slots, psycopg$)|uvicorn: Dj")
BEGIN, END = "<!-- benchmark: written by `python -m bench` -->", "<!-- benchmark: end -->"


def write(raw: dict[str, Any], output: Path, readme: Path | None) -> None:
    """All files of the report below `output`, and the README's part where one is given."""
    figures = Figures(raw)
    drawn = pictures.draw(figures, output)
    (output / "README.md").write_text("\n".join(report(figures, drawn)) + "\n")
    (output / "loads.md").write_text("\n".join(every_load(figures)) + "\n")
    if readme is not None:
        text = readme.read_text()
        before, _, rest = text.partition(BEGIN)
        _, _, after = rest.partition(END)
        part = "\n".join([BEGIN, *summary(figures, drawn), END])
        readme.write_text(before + part + after)


def is_whole(raw: dict[str, Any]) -> bool:
    """Whether the run is one to quote: all configurations, all loads, repeated, to the end."""
    plan = raw["plan"]
    everything = not plan["only"] and len(plan["loads"]) == len(LOADS)
    return everything and plan["rounds"] > 1 and "minutes" in raw


def compact(raw: dict[str, Any]) -> str:
    """JSON with a line for each run, so that two runs can be compared by diff."""
    lines = []
    for key, value in raw.items():
        if isinstance(value, list):
            rows = ",\n".join("    " + json.dumps(rounded(row)) for row in value)
            lines.append(f'  "{key}": [\n{rows}\n  ]' if value else f'  "{key}": []')
        elif key in ("over_time", "configurations"):
            rows = ",\n".join(f"    {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items())
            lines.append(f'  "{key}": {{\n{rows}\n  }}')
        else:
            lines.append(f'  "{key}": {json.dumps(rounded(value))}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


def rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    return value


def picture(name: str, alt: str, where: str = "") -> list[str]:
    """The light drawing or the dark one, as the reader's page is."""
    return [
        "<picture>",
        f'  <source media="(prefers-color-scheme: dark)" srcset="{where}{name}-dark.svg">',
        f'  <img alt="{alt}" src="{where}{name}-light.svg">',
        "</picture>",
        "",
    ]


ALT = {
    "connections": "Open connections over time while every request comes on a new TCP connection: "
    "with slots they stay at workers x slots; with CONN_MAX_AGE=60 they reach max_connections",
    "throughput": "Requests per second and p99 latency of each configuration",
    "slots": "Requests per second over slots per worker",
}


def summary(figures: Figures, drawn: list[str]) -> Iterator[str]:
    """What the README shows."""
    where = "docs/benchmarks/"
    if "connections" in drawn:
        yield from picture("connections", ALT["connections"], where)
    yield (
        f"{MAIN.clients} clients ask for a view with one quick query, on keep-alive connections; "
        f"{figures.raw['workers']} workers with {figures.raw['slots']} slots (or a pool of "
        f"{figures.raw['slots']}) each:"
    )
    yield ""
    names = [name for name in figures.raw["configurations"] if SHOWN.match(name)]
    yield from table(figures, MAIN, names, short=True)
    yield ""
    yield f"{stated(figures)} [All figures, how they were measured]({where}README.md)."


def stated(figures: Figures) -> str:
    """Machine, versions, date."""
    raw = figures.raw
    versions: dict[str, str] = {}
    for configuration in raw["configurations"].values():
        for name, version in configuration["versions"].items():
            versions.setdefault(name, version)
    releases = [f"PostgreSQL {raw['machine'].get('PostgreSQL', '?')}"]
    releases += [
        f"{name} {versions[name]}"
        for name in ("django", "gunicorn", "psycopg2-binary", "psycopg", "gevent", "uvicorn")
        if name in versions
    ]
    machine = raw["machine"]
    return (
        f"Measured on {raw['began'][:10]} on {machine['cores']} cores ({machine['CPU']}, "
        f"{machine['system']}), load by {raw['generator']}, "
        f"{', '.join(releases)}; medians of {raw['plan']['main_rounds']} interleaved "
        f"rounds (other loads: {raw['plan']['rounds']})."
    )


def report(figures: Figures, drawn: list[str]) -> Iterator[str]:
    """docs/benchmarks/README.md."""
    raw = figures.raw
    yield "# Benchmarks\n"
    yield "Written by `uv run python -m bench`; [figures.json](figures.json) has every run."
    yield f"{stated(figures)} The run took {raw.get('minutes', '?')} minutes.\n"
    if not is_whole(raw):
        yield "**This is not a whole run: do not quote it.**\n"
    yield HOW.format(workers=raw["workers"], slots=raw["slots"], **raw["plan"])
    titles = {
        "connections": "Connections over time",
        "throughput": "Throughput and latency",
        "slots": "Slots",
    }
    for name in drawn:
        yield f"## {titles[name]}\n"
        yield from picture(name, ALT[name])
        yield from {
            "connections": over_time,
            "throughput": main_tables,
            "slots": slots,
        }[name](figures)
    yield from promises(figures)
    yield from limits(figures)
    yield from odd(figures)


HOW = """\
Every configuration serves the same view from {workers} workers, on the same PostgreSQL, Django and
gunicorn. The generated service runs as it is generated, with {slots} slots per worker, less the log
of requests and Django's middleware, which would cost all the same (views state their length, as it
would); a peer has its connections as its own documentation sets them up, with a pool of {slots} per
worker where it has one.

Configurations that are compared run side by side, idle but for one; a round puts a load on each in
turn, in a shuffled order, for {seconds} s, or {main_seconds} s where most targets look. Figures are
medians of the rounds, with the lowest and the highest; ratios are taken within a round.
A gunicorn that failed requests, or keeps more connections than the bound, is started anew before
its next run; one that opens a connection for each client and never closes it is measured three
times as long, so that connecting weighs less. Kept connections age after ten minutes, not after
one.

Connections are counted in `pg_stat_activity` every 20 ms and by `pg_stat_database`; CPU time and
memory are read from `/proc`. The generator and the servers share the cores, so read ratios.
[All loads](loads.md) has the rest.
"""


def over_time(figures: Figures) -> Iterator[str]:
    yield "| configuration | highest count | opened | requests | failed |"
    yield "|---|---:|---:|---:|---:|"
    for name, noted in figures.raw["over_time"].items():
        failed = sum(noted["failed"].values())
        yield (
            f"| {name} | {noted['peak']} | {noted['opened']:,} | {noted['requests']:,} "
            f"| {failed:,} |"
        )
    yield ""


def main_tables(figures: Figures) -> Iterator[str]:
    for load, title in ((MAIN, "keep-alive connections"), (NEW_TCP, "a new TCP connection each")):
        yield f"{load.clients} clients, a quick query, {title}:\n"
        yield from table(figures, load, list(figures.raw["configurations"]))
        yield ""


def table(figures: Figures, load: Load, names: list[str], short: bool = False) -> Iterator[str]:
    """A row for each configuration that was measured under `load`."""
    heads = ["configuration", "requests/s", "p50 ms", "p95 ms", "p99 ms"]
    heads += ["most connections", "opened", "failed"]
    if short:
        heads = [head for head in heads if head not in ("p50 ms", "p95 ms")]
    else:
        heads += ["CPU gunicorn, us/request", "CPU PostgreSQL, us/request", "MiB/worker"]
    yield f"| {' | '.join(heads)} |"
    yield "|---|" + "---:|" * (len(heads) - 1)
    for name in names:
        runs = figures.runs(name, load)
        if not runs:
            continue
        cells = {
            "configuration": f"**{name}**" if is_service(name) else name,
            "requests/s": spread_of(figures.spread(name, load, "rate"), not short),
            "p50 ms": spread_of(figures.spread(name, load, "p50")),
            "p95 ms": spread_of(figures.spread(name, load, "p95")),
            "p99 ms": spread_of(figures.spread(name, load, "p99"), not short),
            "most connections": f"{max(run['peak'] for run in runs)}{bound_of(figures, name)}",
            "opened": spread_of(figures.spread(name, load, "opened")),
            "failed": spread_of(figures.spread(name, load, "failed")),
            "CPU gunicorn, us/request": spread_of(figures.spread(name, load, "cpu_gunicorn_us")),
            "CPU PostgreSQL, us/request": spread_of(
                figures.spread(name, load, "cpu_postgresql_us")
            ),
            "MiB/worker": spread_of(figures.spread(name, load, "memory")),
        }
        yield "| " + " | ".join(cells[head] for head in heads) + " |"


def bound_of(figures: Figures, name: str) -> str:
    bound = figures.bound(name)
    return f" of {bound}" if bound else ""


def spread_of(spread: Spread | None, with_range: bool = False) -> str:
    if spread is None:
        return ""
    shown = number(spread.median)
    if with_range and spread.low != spread.high:
        shown += f" ({number(spread.low)} to {number(spread.high)})"
    return shown


def number(value: float) -> str:
    """Three digits that mean something."""
    if value == int(value) or value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def slots(figures: Figures) -> Iterator[str]:
    for view in ("query", "slow"):
        for worker_class in ("gevent", "asgi"):
            if sweep := figures.sweep(worker_class, view):
                found = ", ".join(f"{n}: {number(s.median)}" for n, s in sweep.items())
                yield (
                    f"- {worker_class}, {VIEWS[view]}: the knee is at **{knee(sweep)} slots** per "
                    f"worker ({found} requests per second)."
                )
    yield "\nThe knee is the fewest slots that reach 95 % of the best throughput.\n"


def promises(figures: Figures) -> Iterator[str]:
    yield "## Targets\n"
    yield "| what | wanted | measured | lowest to highest | met |"
    yield "|---|---|---:|---|---|"
    found = list(targets(figures))
    for target in found:
        measured = target.measured
        yield (
            f"| {target.what} | {target.wanted} | {fine(measured.median)} "
            f"| {fine(measured.low)} to {fine(measured.high)} "
            f"| {'yes' if target.met else '**no**'} |"
        )
    yield ""
    missed = [target for target in found if not target.met and target.limit]
    if missed:
        yield MISSED
        for target in missed:
            yield f"- {target.what}: {fine(target.limit or 0)} with a view that does nothing."
        yield ""


MISSED = """\
Where a ratio is missed, a profile shows gunicorn's parsing and sending, and Django's handler and
signals, in the way: they take most of a request's CPU time and are the same for both sides, so the
quicker the connection, the less is left to save. How far that goes at most:
"""


def fine(value: float) -> str:
    return f"{value:.2g}" if 0 < value < 0.1 else f"{value:.2f}"


def limits(figures: Figures) -> Iterator[str]:
    yield "## Limits\n"
    for name, rate in figures.raw["pgbench"].items():
        yield f"- `pgbench`, as many clients as there are slots, {name}: {number(rate)} per second."
    for name in figures.raw["configurations"]:
        spread = figures.spread(name, PLAIN, "rate")
        if spread and (": slots, psycopg2" in name or "CONN_MAX_AGE=0" in name):
            yield f"- {name}, the same view without a database: {spread_of(spread)} per second."
    yield ""


def odd(figures: Figures) -> Iterator[str]:
    """What a reader has to know about single runs, and what could not be measured."""
    lopsided = [run for run in figures.raw["runs"] + figures.raw["sweep"] if run["lopsided"]]
    if lopsided:
        yield "## Runs in which one worker got all clients\n"
        yield "Repeated up to twice; what stayed so is left out where a balanced run exists.\n"
        ordered = sorted(lopsided, key=lambda run: str(run["configuration"]))
        for name, runs in groupby(ordered, key=lambda run: str(run["configuration"])):
            found = list(runs)
            repeated = sum(run["repeated"] for run in found)
            yield f"- {name}: {repeated} were repeated for it, {len(found) - repeated} stayed so."
        yield ""
    if figures.raw["failed"]:
        yield "## Not measured\n"
        for name, reason in figures.raw["failed"].items():
            yield f"- {name}: {' '.join(reason.split())}"
        yield ""


def every_load(figures: Figures) -> Iterator[str]:
    """docs/benchmarks/loads.md."""
    yield "# All loads\n"
    yield "Written by `uv run python -m bench`; [README.md](README.md) says how they were measured."
    for load in LOADS:
        if any(figures.runs(name, load) for name in figures.raw["configurations"]):
            how = "keep-alive" if load.keep_alive else "a new TCP connection each"
            yield f"\n## {load.view}, {how}, {load.clients} clients\n"
            yield f"The view: {VIEWS[load.view]}.\n"
            yield from table(figures, load, list(figures.raw["configurations"]))
