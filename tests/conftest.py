"""The --fast option, a bake of each combination, and the table of what was measured."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cookiecutter.main import cookiecutter

from tests.combinations import ROOT, Combination

Bake = Callable[[Combination], Path]


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


@pytest.fixture(scope="session")
def bake(tmp_path_factory: pytest.TempPathFactory) -> Bake:
    """The project of a combination, generated once for all tests that only read it."""
    baked: dict[Combination, Path] = {}

    def once(combination: Combination) -> Path:
        if combination not in baked:
            output = tmp_path_factory.mktemp(str(combination))
            baked[combination] = generate(output, **combination.answers)
        return baked[combination]

    return once


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The connections of each generated project under load, as its own tests counted them."""
    rows = [
        dict(report.user_properties)["measured"]
        for report in terminalreporter.stats.get("passed", [])
        if "measured" in dict(report.user_properties)
    ]
    if rows:
        terminalreporter.section("connections under load, as measured")
        heads = "worker-driver-django, clients", "requests", "bound", "peak", "opened"
        for row in [heads, *sorted(line for lines in rows for line in lines)]:
            name, *figures = row
            cells = "".join(f"{figure!s:>10}" for figure in figures)
            terminalreporter.write_line(f"{name:<45}{cells}")
