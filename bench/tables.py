"""Tables in Markdown: a row for each configuration under one load."""

from collections.abc import Iterator

from bench.analysis import Figures, Spread, is_service, value_of
from bench.load import Load

SHORT = ("configuration", "requests/s", "p99 ms", "most connections", "opened", "failed")
LONG = (
    "configuration",
    "requests/s",
    "p50 ms",
    "p95 ms",
    "p99 ms",
    "most connections",
    "opened",
    "failed",
    "CPU gunicorn, us/request",
    "CPU PostgreSQL, us/request",
    "MiB/worker",
)
PACED = ("offered/s", "wanted/s")
# Percentiles say something when each client had so many answers.
ANSWERS = 3
# An even share is 0.5: beyond this part of the CPU time a row is of one worker rather than of two.
UNEVEN = 0.7
MARK = " †"


def table(
    figures: Figures, load: Load, classes: tuple[str, ...] = (), short: bool = False
) -> Iterator[str]:
    """All configurations that were measured under `load`, or those of some worker classes."""
    names = [
        name
        for name, each in figures.raw["configurations"].items()
        if figures.runs(name, load) and (not classes or each["worker_class"] in classes)
    ]
    heads: tuple[str, ...] = SHORT if short else LONG
    if not short and any(run["offered"] is not None for run in figures.tries(load)):
        heads += PACED
    yield f"| {' | '.join(heads)} |"
    yield "|---|" + "---:|" * (len(heads) - 1)
    rows = [cells(figures, name, load, short) for name in names]
    for row in rows:
        yield "| " + " | ".join(row[head] for head in heads) + " |"
    if any(MARK in row["requests/s"] for row in rows):
        yield f"\n{MARK.strip()} One of the workers had more than {UNEVEN:.0%} of the CPU time."


def cells(figures: Figures, name: str, load: Load, short: bool) -> dict[str, str]:
    """What stands in a row, by column."""

    def shown(measure: str, with_range: bool = False) -> str:
        return spread_of(figures.spread(name, load, measure), with_range)

    tries = figures.tries(load, name)
    bound = figures.bound(name)
    answered = figures.spread(name, load, "requests")
    enough = answered is not None and answered.median >= ANSWERS * load.clients
    return {
        "configuration": f"**{name}**" if is_service(name) else name,
        "requests/s": shown("rate", not short) + (MARK if uneven(figures, name, load) else ""),
        "p50 ms": shown("p50") if enough else "-",
        "p95 ms": shown("p95") if enough else "-",
        "p99 ms": shown("p99", not short) if enough else "-",
        "most connections": str(max(run["peak"] for run in tries))
        + (f" of {bound}" if bound else ""),
        "opened": shown("opened"),
        "failed": f"{sum(value_of(run, 'failed') for run in tries):,.0f}",
        "CPU gunicorn, us/request": shown("cpu_gunicorn_us") or "-",
        "CPU PostgreSQL, us/request": shown("cpu_postgresql_us") or "-",
        "MiB/worker": shown("memory"),
        "offered/s": shown("offered"),
        "wanted/s": shown("wanted"),
    }


def uneven(figures: Figures, name: str, load: Load) -> bool:
    """Whether one worker had much more to do than the other, in the median run."""
    busiest = figures.spread(name, load, "busiest_worker")
    return busiest is not None and busiest.median > UNEVEN


def spread_of(spread: Spread | None, with_range: bool = False) -> str:
    """The median, and the range where it is asked for."""
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
