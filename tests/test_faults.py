"""The fault suite (tests/faults) in generated projects, and the table of it in docs/faults.md."""

import shutil
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.combinations import ROOT, SUPPORTED, Combination
from tests.project import Project, skip_unless_selected

# One Django is enough: it is gunicorn, the driver and PostgreSQL that break. And psycopg waits in
# its own way on greenlets and on threads; asgi's and sync's waits are those of gthread's threads.
COMBINATIONS = [
    combination
    for combination in SUPPORTED
    if combination.django_version == "5.2"
    and (combination.database_driver, combination.worker_class)
    not in {("psycopg", "sync"), ("psycopg", "asgi")}
]


@pytest.mark.parametrize("combination", COMBINATIONS, ids=str)
def test_a_generated_project_survives_the_faults(
    combination: Combination,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
    request: pytest.FixtureRequest,
) -> None:
    skip_unless_selected(combination, request.config)
    project = Project(tmp_path, combination)
    shutil.copytree(ROOT / "tests" / "faults", project.directory / "tests" / "faults")
    project.run("uv", "run", "pytest", "tests/faults", "--junitxml=result.xml")
    record_property("faults", faults(project.directory / "result.xml", combination))


def faults(result: Path, combination: Combination) -> list[tuple[str, str, str]]:
    """Scenario, combination, and what was noted of it or why it was skipped."""
    rows = []
    for case in ElementTree.parse(result).iter("testcase"):  # noqa: S314 - written by the suite
        scenario = case.attrib["name"].removeprefix("test_").replace("_", " ")
        noted = [f"{p.attrib['name']}: {p.attrib['value']}" for p in case.iter("property")]
        noted += [f"not run: {skip.attrib['message']}" for skip in case.iter("skipped")]
        project = f"{combination.worker_class}, {combination.database_driver}"
        rows.append((scenario, project, "; ".join(noted)))
    assert len(rows) > 10
    return rows
