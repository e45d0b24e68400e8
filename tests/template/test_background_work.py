"""Background workers beside a generated project's gunicorn, for real: each counts in the budget.

tests/template/background has the settings, the tasks and the test that runs in the project.
"""

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import pytest

from baking.combinations import Combination
from tests.template.conftest import Install
from tests.template.tools import add_background_work, add_packages

pytestmark = pytest.mark.slow

QUEUES = {
    "procrastinate": (
        Combination("gthread", "psycopg", "5.2", "web"),
        ["procrastinate[django]>=3.5,<4"],
    ),
    "tasks": (  # django.tasks begins with Django 6.0
        Combination("asgi", "psycopg", "6.1", "web"),
        ["django-tasks-db>=0.13,<1"],
    ),
}


@pytest.mark.parametrize("queue", QUEUES)
def test_worker_does_what_a_view_defers(
    queue: str, install: Install, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    combination, requirements = QUEUES[queue]
    project = install(combination).copy(tmp_path / "project")
    add_packages(project, *requirements)
    add_background_work(project)
    chosen = ["tests/background", "--ds", f"tests.background.settings.{queue}"]
    # record_property() warns about the default family.
    written = ["-o", "junit_family=xunit1", "--junitxml=result.xml"]
    project.run("uv", "run", "--no-sync", "pytest", *chosen, *written)
    result = ElementTree.parse(project.directory / "result.xml")  # noqa: S314 - written by the suite
    for figure in result.iter("property"):
        record_property(figure.attrib["name"], figure.attrib["value"])
