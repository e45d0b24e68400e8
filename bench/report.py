"""The report: its pages, the figures as JSON, and the part of the README they fill."""

import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from bench import pictures
from bench.analysis import Figures, knee
from bench.load import Load
from bench.plan import LOADS, MAIN, PLAIN, ROOMY, USUAL
from bench.tables import number, spread_of, table
from bench.targets import Target, targets

NEW_TCP = Load("query", 100, keep_alive=False)
SLOW = Load("slow", 100, keep_alive=True)
VIEWS = {
    "query": "a quick query, which costs the server next to nothing",
    "slow": "a query of 50 ms",
    "wait": "50 ms of waiting for another service, no database",
    "plain": "nothing at all: the limit of gunicorn and Django",
}
# Worker classes in the README: those where connections pile up by themselves, and the default.
# Named with the machine, where they are installed.
RELEASES = (
    "Python",
    "django",
    "gunicorn",
    "psycopg2-binary",
    "psycopg",
    "psycopg-pool",
    "gevent",
    "eventlet",
    "psycogreen",
    "uvicorn",
    "django-db-geventpool",
    "django-db-connection-pool",
    "sqlalchemy",
)
BEGIN, END = "<!-- benchmark: written by `python -m bench` -->", "<!-- benchmark: end -->"


def write(raw: dict[str, Any], output: Path, readme: Path | None) -> None:
    """All files of the report below `output`, and the README's part where one is given."""
    figures = Figures(raw)
    drawn = pictures.draw(figures, output)
    (output / "README.md").write_text("\n".join(report(figures, drawn)) + "\n")
    (output / "loads.md").write_text("\n".join(every_load(figures)) + "\n")
    if readme is not None:
        before, begin, rest = readme.read_text().partition(BEGIN)
        _, end, after = rest.partition(END)
        if begin and end:
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
    "connections": "Open connections over time, a line for each configuration, against "
    "max_connections, while every request comes on a new TCP connection",
    "throughput": "Requests per second and p99 latency of each configuration",
    "slots": "Requests per second over slots per worker",
}


def summary(figures: Figures, drawn: list[str]) -> Iterator[str]:
    """Yield the part of README.md: the picture, and where its figures are."""
    where = "docs/benchmarks/"
    if "connections" in drawn:
        yield from picture("connections", ALT["connections"], where)
    yield f"{stated(figures)} [All figures, and how they were measured]({where}README.md)."


def stated(figures: Figures) -> str:
    """Machine, versions, date."""
    raw = figures.raw
    machine = raw["machine"]
    by = f"wrk {machine.get('wrk')}" if raw["generator"] == "wrk" else raw["generator"]
    installed = [each["versions"] for each in raw["configurations"].values()]
    releases = [
        f"{name} {machine[name]}" for name in ("PostgreSQL", "PgBouncer") if machine.get(name)
    ]
    for name in RELEASES:
        if found := sorted({versions[name] for versions in installed if name in versions}):
            releases.append(f"{name} {' and '.join(found)}")
    return (
        f"Measured on {raw['began'][:10]} on {machine['cores']} cores ({machine['CPU']}, "
        f"{machine['system']}); load by {by}; {', '.join(releases)}; medians of "
        f"{raw['plan']['main_rounds']} interleaved rounds (other loads: {raw['plan']['rounds']})."
    )


def report(figures: Figures, drawn: list[str]) -> Iterator[str]:
    """docs/benchmarks/README.md."""
    raw = figures.raw
    yield "# Benchmarks\n"
    yield "Written by `uv run python -m bench`; [figures.json](figures.json) has every run."
    yield f"{stated(figures)} The run took {raw.get('minutes', '?')} minutes.\n"
    if not is_whole(raw):
        yield "**This is not a whole run: do not quote it.**\n"
    given = {"workers": raw["workers"], "slots": raw["slots"], "longer": measured_longer(figures)}
    yield HOW.format(**given, roomy=ROOMY, usual=USUAL, **raw["plan"])
    yield HOW_OFFERED[raw["generator"] == "wrk"]
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


def measured_longer(figures: Figures) -> str:
    """Whose runs of the main load took longer than the plan's."""
    usual = 1.5 * figures.raw["plan"]["main_seconds"]
    names = [
        name
        for name in figures.raw["configurations"]
        if any(run["seconds"] > usual for run in figures.runs(name, MAIN))
    ]
    return "; ".join(names) or "none"


HOW = Path(__file__).with_name("how.md").read_text()
HOW_OFFERED = {
    True: """\
wrk asks without pause. Its percentiles are of answers, bad ones as well, corrected by wrk for
requests that a slow answer kept from being sent. A request without an answer when a run ends is
neither counted nor failed (0 requests per second: none came while the run lasted); so where clients
had fewer than three answers each, no percentile is given.
""",
    False: """\
Python makes the load: first without pause, for the rate, then at 0.8 of that rate, for the
latency, which counts from the moment at which a request was due. What was offered stands beside
what was wanted.
""",
}


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
    for load, title in (
        (MAIN, "a quick query, keep-alive connections"),
        (NEW_TCP, "a quick query, a new TCP connection each"),
        (SLOW, "a query of 50 ms, keep-alive connections"),
    ):
        if figures.tries(load):
            yield f"{load.clients} clients, {title}:\n"
            yield from table(figures, load)
            yield ""


def slots(figures: Figures) -> Iterator[str]:
    for view in ("query", "slow"):
        for worker_class in ("gevent", "asgi"):
            if sweep := figures.sweep(worker_class, view):
                at, most = knee(sweep), max(sweep)
                found = f"the knee is at **{at} slots** per worker"
                if at == most:
                    found = f"**no knee** up to {most} slots per worker"
                yield f"- {worker_class}, {VIEWS[view]}: {found}; requests per second:"
                yield "  " + "; ".join(f"{n}: {spread_of(s, True)}" for n, s in sweep.items())
    yield "\nThe knee is the fewest slots that reach 95 % of the best throughput; where the ranges"
    yield "of several numbers overlap, it might as well be another of them. With a query of 50 ms a"
    yield "slot answers no more than twenty requests per second.\n"


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
    if missed := [target for target in found if not target.met]:
        yield MISSED
        yield from map(by_how_much, missed)
        yield ""


MISSED = """\
What was missed, by how much, and how far it goes at most: our requests per second with a view that
does nothing, so that what is left of a request is gunicorn's and Django's, over the peer's with the
query. A target near or above that is out of reach on this machine. Profiles (taken with py-spy, not
by this bench) show the same: gunicorn's parsing and sending, and Django's handler and signals, take
most of a request's time, on both sides of a ratio; under asgi two hops to a thread as well.
"""


def by_how_much(target: Target) -> str:
    missed = f"- {target.what}: {fine(target.measured.median)}, wanted {target.wanted}"
    return f"{missed}; at most {fine(target.limit)}" if target.limit else missed


def fine(value: float) -> str:
    return f"{value:.2g}" if 0 < value < 0.1 else f"{value:.2f}"


def limits(figures: Figures) -> Iterator[str]:
    yield "## Limits\n"
    for name, rate in figures.raw["pgbench"].items():
        shown = number(rate) if rate else "no figure"
        yield f"- `pgbench`, as many clients as there are slots, {name}: {shown} per second."
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
            yield from table(figures, load)
