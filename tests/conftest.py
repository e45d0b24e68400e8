"""Options of the test run, and what its summary shows."""

import itertools
import signal
from pathlib import Path
from typing import Any

import pytest

from baking.combinations import ROOT

FAULTS = ROOT / "docs" / "results" / "faults.md"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--all",
        action="store_true",
        help="run the own tests of every generated project, and all fault tests",
    )
    parser.addoption(
        "--write-docs",
        action="store_true",
        help="write docs/results/faults.md from what the fault tests noted; needs --all",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marks, and let the tests send Ctrl-C where this process ignores it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a background job of a shell does
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.getoption("--write-docs") and not config.getoption("--all"):
        raise pytest.UsageError("--write-docs needs --all: the page has each worker class")
    config.addinivalue_line("markers", "slow: run with --all only")
    config.addinivalue_line(
        "markers", "each_bake: run for each selected combination, with --all for each combination"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave slow tests out, except with --all."""
    if not config.getoption("--all"):
        slow = [item for item in items if item.get_closest_marker("slow")]
        items[:] = [item for item in items if item not in slow]
        config.hook.pytest_deselected(items=slow)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Show the connections that the generated projects counted, and write the table of faults."""
    if rows := _noted(terminalreporter, "measured"):
        terminalreporter.section("connections under load, as measured")
        heads = "worker-driver-django, clients", "requests", "bound", "peak", "opened"
        for name, *figures in [heads, *rows]:
            cells = "".join(f"{figure!s:>10}" for figure in figures)
            terminalreporter.write_line(f"{name:<45}{cells}")
    if rows := _noted(terminalreporter, "adopted"):
        terminalreporter.section("connections of an existing service, before and after")
        for name, before, after in rows:
            terminalreporter.write_line(f"{name:<45}{before:>10}{after:>10}")
    config = terminalreporter.config
    if config.getoption("--write-docs") and (rows := _noted(terminalreporter, "faults")):
        _write_faults(rows, FAULTS)


def _noted(terminalreporter: Any, name: str) -> list[Any]:
    """Return the rows that passed tests recorded as the property `name`."""
    passed = terminalreporter.stats.get("passed", [])
    found = [dict(report.user_properties).get(name, []) for report in passed]
    return sorted(row for rows in found for row in rows)


def _write_faults(rows: list[tuple[str, str, str]], page: Path) -> None:
    """Write `page`: a table for each scenario, with a row for each project."""
    lines = [(ROOT / "tests" / "template" / "faults.md").read_text().rstrip()]
    for scenario, group in itertools.groupby(rows, key=lambda row: row[0]):
        lines += [
            f"\n## {scenario[0].upper()}{scenario[1:]}\n",
            "| worker class, driver | noted |",
            "|---|---|",
        ]
        lines += [f"| {project} | {noted} |" for _, project, noted in group]
    page.write_text("\n".join(lines) + "\n")
