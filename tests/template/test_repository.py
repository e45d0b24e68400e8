"""The files around the template are valid, and name what exists."""

import re
import subprocess
import sys

import pytest
import yaml

from baking.combinations import ROOT, TEMPLATE
from tests.template.tools import assert_workflow_passes

WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"


@pytest.mark.parametrize("command", [["check"], ["format", "--check", "--diff"]], ids=" ".join)
def test_code_is_formatted_and_free_of_lint(command: list[str]) -> None:
    packages = sorted(path.parent for path in TEMPLATE.glob("packages/*/pyproject.toml"))
    assert len(packages) == 2
    assert_succeeds("ruff", *command, ".", *map(str, packages))


def test_types_are_strict() -> None:
    assert_succeeds("mypy")


def assert_succeeds(module: str, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_workflow_is_valid_and_safe() -> None:
    assert_workflow_passes(WORKFLOW, ROOT / ".github" / "zizmor.yml")


def test_workflow_runs_the_gate() -> None:
    jobs = yaml.safe_load(WORKFLOW.read_text())["jobs"]
    commands = [step.get("run", "") for job in jobs.values() for step in job["steps"]]
    assert ".ci/run" in " ".join(commands)


@pytest.mark.parametrize(
    "page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "doctor/README.md"]
)
def test_links_lead_to_files(page: str) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", (ROOT / page).read_text())
    missing = [link for link in links if not ((ROOT / page).parent / link).exists()]
    assert missing == []


def test_lock_names_the_public_index_only() -> None:
    hosts = set(re.findall(r"https?://([^/\"]+)", (ROOT / "uv.lock").read_text()))
    assert hosts == {"pypi.org", "files.pythonhosted.org"}
