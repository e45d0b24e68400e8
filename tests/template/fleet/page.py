"""Write the reports as a table, and as the page docs/results/fleet.md."""

import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from tests.template.fleet.events import CLIENTS
from tests.template.fleet.figures import Outcome
from tests.template.fleet.fleet import SLOTS, WORKERS
from tests.template.fleet.report import Report

HEAD = ("mode", "event", "served", "failed", "server", "clients", "recovery", "slowest")


def rows(reports: Iterable[Report]) -> list[tuple[str, ...]]:
    """Return the cells of the table, each row an event of a mode."""
    return [_row(report, outcome) for report in reports for outcome in report.outcomes]


def _row(report: Report, outcome: Outcome) -> tuple[str, ...]:
    failed = ", ".join(f"{count} x {what}" for what, count in sorted(outcome.failed.items()))
    clients = "-"
    if outcome.clients is not None:
        clients = f"{outcome.clients} of {report.budget.clients}"
    return (
        report.mode,
        outcome.event,
        f"{outcome.served:,}",
        failed or "0",
        f"{outcome.server} of {report.budget.server}",
        clients,
        "never" if outcome.recovery is None else f"{outcome.recovery:.1f} s",
        f"{outcome.slowest:.1f} s",
    )


def table(reports: Iterable[Report]) -> str:
    """Return the table as plain text."""
    lines = [HEAD, *rows(reports)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def markdown(reports: Iterable[Report]) -> str:
    """Return the table as Markdown."""
    lines = [HEAD, ("---",) * len(HEAD), *rows(reports)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write(page: Path, text: str, reports: Iterable[Report], project: str, seconds: float) -> None:
    """Write `page` from `text`, in which {table} and other names in braces are replaced."""
    page.write_text(
        text.format(
            table=markdown(reports),
            project=project,
            seconds=f"{seconds:g}",
            clients=CLIENTS,
            workers=WORKERS,
            slots=SLOTS,
            date=datetime.now(UTC).date(),
            cores=os.cpu_count(),
        )
    )
