"""Check configuration files, add tests and packages to a project, and read its results."""

import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import yaml

from baking.combinations import ROOT
from baking.project import Project


def assert_passes(program: str, *arguments: str | Path) -> None:
    """Run a program of this Python environment, and assert that it ends without an error."""
    done = subprocess.run(
        [Path(sys.executable).with_name(program), *arguments], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def assert_workflow_passes(workflow: Path, policy: Path) -> None:
    """Assert that a GitHub workflow is valid, safe by zizmor's `policy`, and has valid shell."""
    assert_passes("check-jsonschema", "--builtin-schema", "vendor.github-workflows", workflow)
    assert_passes("zizmor", "--offline", "--no-progress", "--config", policy, workflow)
    for job in yaml.safe_load(workflow.read_text())["jobs"].values():
        for step in job["steps"]:
            done = subprocess.run(["bash", "-n"], input=step.get("run", ""), text=True)  # noqa: S607
            assert done.returncode == 0, step


def add_fault_tests(project: Project) -> None:
    """Copy the fault tests into a generated project as tests/faults, with their proxy."""
    _add_tests(project, "faults")
    package = project.directory / "tests" / "package"
    package.mkdir()
    for name in ("__init__.py", "proxy.py"):
        shutil.copy(ROOT / "tests" / "package" / name, package / name)


def add_other_software(project: Project) -> None:
    """Copy the tests of other people's software into a generated project as tests/others."""
    _add_tests(project, "others")


def add_background_work(project: Project) -> None:
    """Copy the tests of background workers into a generated project as tests/background."""
    _add_tests(project, "background")


def _add_tests(project: Project, name: str) -> None:
    ignored = shutil.ignore_patterns("__pycache__")
    tests = ROOT / "tests" / "template" / name
    shutil.copytree(tests, project.directory / "tests" / name, ignore=ignored)


def add_packages(project: Project, *requirements: str) -> None:
    """Install packages into a project's virtual environment, which no other project may share."""
    environment = str(project.directory / ".venv")
    project.run("uv", "pip", "install", "--quiet", "--python", environment, *requirements)


def measured(result: Path, name: str) -> list[tuple[str, ...]]:
    """Return a row for each load that counted connections, from a JUnit file."""
    rows = []
    for case in ElementTree.parse(result).iter("testcase"):  # noqa: S314 - written by the suite
        found = {p.attrib["name"]: p.attrib["value"] for p in case.iter("property")}
        if "peak" in found:
            load = case.attrib["name"].partition("[")[2].rstrip("]")
            figures = (found[each] for each in ("requests", "bound", "peak", "opened"))
            rows.append((f"{name}, {load}", *figures))
    assert rows
    return rows
