"""The template stays small: limits for Jinja, and for the lines that a service owns."""

import re
from pathlib import Path

import pytest

from baking.combinations import ROOT, SUPPORTED, TEMPLATE, Combination
from tests.template.conftest import Bake

# Logic belongs into packages/, where it is tested without a bake. Raise a limit only with a reason
# in docs/decisions.md.
JINJA_LINES = 71
RUN_TIME_LINES = 640
TEST_LINES = 500


def test_few_lines_have_jinja() -> None:
    found = []
    for path in sorted([*TEMPLATE.rglob("*"), *(ROOT / "templates").rglob("*")]):
        below = path.relative_to(ROOT)
        if not path.is_file() or {"packages", "__pycache__"} & set(below.parts):
            continue
        if ".html" in path.name:  # Django's own templates, of which most lines are marked as raw
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            # GitHub's own expressions begin with a dollar sign.
            if re.search(r"\{%|(?<!\$)\{\{", line):
                found.append(f"{below}:{number}: {line.strip()}")
    listed = "\n".join(found)
    assert len(found) <= JINJA_LINES, f"{len(found)} lines have Jinja:\n{listed}"


@pytest.mark.parametrize("combination", SUPPORTED, ids=str)
def test_service_owns_few_lines(combination: Combination, bake: Bake) -> None:
    run_time, tests = owned_lines(bake(combination))
    counts = [("run time", run_time, RUN_TIME_LINES), ("tests", tests, TEST_LINES)]
    for name, lines, limit in counts:
        total = sum(lines.values())
        listed = "\n".join(f"{count:5} {path}" for path, count in sorted(lines.items()))
        assert total <= limit, f"{name}: {total} lines of Python, the limit is {limit}:\n{listed}"


def owned_lines(project: Path) -> tuple[dict[str, int], dict[str, int]]:
    """Return the lines of each Python file outside packages/: of the run time, and of tests.

    Migrations are generated, so they are not counted.
    """
    run_time: dict[str, int] = {}
    tests: dict[str, int] = {}
    for path in project.rglob("*.py"):
        below = path.relative_to(project)
        if below.parts[0] != "packages" and "migrations" not in below.parts:
            kind = tests if below.parts[0] == "tests" else run_time
            kind[str(below)] = len(path.read_text().splitlines())
    return run_time, tests
