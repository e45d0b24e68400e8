"""The fault tests (tests/template/faults) pass in generated projects.

`--write-docs` writes docs/results/faults.md from what they noted.
"""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import pytest

from baking.combinations import GREEN, SUPPORTED, Combination
from tests.template.conftest import Install
from tests.template.tools import add_fault_tests

# One Django release is enough: gunicorn, the driver and PostgreSQL are what fails here. The two
# drivers wait differently on greenlets, and on threads they wait alike.
GATE = [("gevent", "psycopg2"), ("asgi", "psycopg")]
COMBINATIONS = {
    (each.worker_class, each.database_driver): each
    for each in SUPPORTED
    if each.django_version == "5.2"
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Take a worker class of greenlets and one of threads, or with --all every worker class."""
    if "combination" in metafunc.fixturenames:
        chosen = GATE
        if metafunc.config.getoption("--all"):
            chosen = [pair for pair in COMBINATIONS if is_needed(*pair)]
        metafunc.parametrize("combination", [COMBINATIONS[pair] for pair in chosen], ids=str)


def is_needed(worker_class: str, driver: str) -> bool:
    """Return True if another combination does not wait for PostgreSQL in the same way."""
    return driver == "psycopg2" or worker_class in GREEN or (worker_class, driver) in GATE


def test_project_survives_faults(
    combination: Combination,
    install: Install,
    tmp_path: Path,
    pytestconfig: pytest.Config,
    record_property: Callable[[str, object], None],
) -> None:
    project = install(combination).copy(tmp_path / "project")
    add_fault_tests(project)
    chosen = () if pytestconfig.getoption("--all") else ("-m", "essential")
    # record_property() warns about the default family.
    written = ("-o", "junit_family=xunit1", "--junitxml=result.xml")
    project.run("uv", "run", "pytest", "tests/faults", *chosen, *written)
    record_property("faults", faults(project.directory / "result.xml", combination))


def faults(result: Path, combination: Combination) -> list[tuple[str, str, str]]:
    """Return a row for each fault: its name, the project, and what its test noted."""
    rows = []
    for case in ElementTree.parse(result).iter("testcase"):  # noqa: S314 - written by the suite
        name = re.sub(r"\[(.*)\]", r" (\1)", case.attrib["name"].removeprefix("test_"))
        noted = [f"{p.attrib['name']}: {p.attrib['value']}" for p in case.iter("property")]
        noted += [f"not run: {skip.attrib['message']}" for skip in case.iter("skipped")]
        project = f"{combination.worker_class}, {combination.database_driver}"
        scenario = name.replace("_", " ").replace("postgresql", "PostgreSQL")
        rows.append((scenario, project, "; ".join(noted)))
    assert len(rows) > 4
    return rows
