"""The fault tests (tests/faults) pass in generated projects; docs/faults.md shows their notes."""

import shutil
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import pytest

from baking.combinations import ROOT, SUPPORTED, Combination
from tests.template.conftest import Install

# One Django release is enough: gunicorn, the driver and PostgreSQL are what fails here. psycopg
# waits in its own way on greenlets and on threads; asgi and sync wait on threads as gthread does.
COMBINATIONS = [
    combination
    for combination in SUPPORTED
    if combination.django_version == "5.2"
    and (combination.database_driver, combination.worker_class)
    not in {("psycopg", "sync"), ("psycopg", "asgi")}
]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the faults once for each worker class, with --all for each of COMBINATIONS."""
    chosen = {each.worker_class: each for each in reversed(COMBINATIONS)}.values()
    if "combination" in metafunc.fixturenames:
        everything = metafunc.config.getoption("--all")
        metafunc.parametrize("combination", COMBINATIONS if everything else chosen, ids=str)


def test_project_survives_faults(
    combination: Combination,
    install: Install,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    project = install(combination).copy(tmp_path / "project")
    shutil.copytree(ROOT / "tests" / "faults", project.directory / "tests" / "faults")
    project.run("uv", "run", "pytest", "tests/faults", "--junitxml=result.xml")
    record_property("faults", faults(project.directory / "result.xml", combination))


def faults(result: Path, combination: Combination) -> list[tuple[str, str, str]]:
    """Return a row for each fault: its name, the project, and what its test noted."""
    rows = []
    for case in ElementTree.parse(result).iter("testcase"):  # noqa: S314 - written by the suite
        scenario = case.attrib["name"].removeprefix("test_").replace("_", " ")
        noted = [f"{p.attrib['name']}: {p.attrib['value']}" for p in case.iter("property")]
        noted += [f"not run: {skip.attrib['message']}" for skip in case.iter("skipped")]
        project = f"{combination.worker_class}, {combination.database_driver}"
        rows.append((scenario, project, "; ".join(noted)))
    assert len(rows) > 10
    return rows
