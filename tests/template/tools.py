"""Run the programs that check configuration files."""

import subprocess
import sys
from pathlib import Path

import yaml


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
