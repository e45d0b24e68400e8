"""The --fast option, a bake of each combination, and the table of what was measured."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cookiecutter.main import cookiecutter

from tests.combinations import ROOT, Combination

Bake = Callable[[Combination], Path]

# They run inside generated projects: test_faults.py and test_lending.py.
collect_ignore = ["faults", "lending"]


def generate(output: Path, **answers: str) -> Path:
    """The directory of a project, generated as by a person who gives these answers."""
    return Path(
        cookiecutter(str(ROOT), no_input=True, output_dir=str(output), extra_context=answers)
    )


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fast",
        action="store_true",
        help="run the own suite of one generated project for each worker class, not of all",
    )
    parser.addoption(
        "--write-docs",
        action="store_true",
        help="write docs/faults.md from what the fault suite noted in this run",
    )


@pytest.fixture(scope="session")
def bake(cookies_session: Any) -> Bake:
    """The project of a combination, generated once for all tests that only read it."""
    baked: dict[Combination, Path] = {}

    def once(combination: Combination) -> Path:
        if combination not in baked:
            result = cookies_session.bake(extra_context=combination.answers)
            assert result.exit_code == 0, result.exception
            baked[combination] = result.project_path
        return baked[combination]

    return once


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What the generated projects' own tests counted."""

    def noted(name: str) -> list[Any]:
        passed = terminalreporter.stats.get("passed", [])
        found = [dict(report.user_properties).get(name, []) for report in passed]
        return sorted(row for rows in found for row in rows)

    if rows := noted("measured"):
        terminalreporter.section("connections under load, as measured")
        heads = "worker-driver-django, clients", "requests", "bound", "peak", "opened"
        for name, *figures in [heads, *rows]:
            cells = "".join(f"{figure!s:>10}" for figure in figures)
            terminalreporter.write_line(f"{name:<45}{cells}")
    if terminalreporter.config.getoption("--write-docs") and (rows := noted("faults")):
        write_faults(rows)


def write_faults(rows: list[tuple[str, str, str]]) -> None:
    """docs/faults.md: a table for each scenario."""
    lines = [(ROOT / "tests" / "faults" / "faults.md").read_text()]
    for scenario, group in itertools.groupby(rows, key=lambda row: row[0]):
        lines += [
            f"\n## {scenario.capitalize()}\n",
            "| worker class, driver | noted |",
            "|---|---|",
        ]
        lines += [f"| {project} | {noted} |" for _, project, noted in group]
    (ROOT / "docs" / "faults.md").write_text("\n".join(lines) + "\n")
