"""cruft itself reads, checks and updates what the template records."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from upkeep_helpers import NEWEST, OLD, baked, commit, edit, files, git, service, template, upkeep

# One process bakes each set of answers once.
pytestmark = pytest.mark.xdist_group("upkeep")
CRUFT = Path(sys.executable).with_name("cruft")


def cruft(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run cruft in a project and return the finished process."""
    return subprocess.run([CRUFT, *arguments], cwd=cwd, capture_output=True, text=True)


def record(project: Path) -> dict[str, object]:
    """Return the content of .cruft.json."""
    found: dict[str, object] = json.loads((project / ".cruft.json").read_text())
    return found


def test_record_is_the_one_cruft_writes(tmp_path: Path) -> None:
    address = f"file://{template()}"
    done = cruft("create", address, "--checkout", OLD, "--no-input", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    theirs, ours = record(tmp_path / "my_service"), record(baked(OLD))
    # cruft writes the path of a local repository and the hash of the commit.
    commit_hash = git("rev-parse", OLD, cwd=template()).strip()
    text = json.dumps(theirs).replace(f'"{template()}"', f'"{address}"')
    assert json.loads(text.replace(commit_hash, OLD)) == ours


def test_cruft_knows_a_bake(tmp_path: Path) -> None:
    project = service(tmp_path / "project", NEWEST)
    assert cruft("check", "--not-strict", cwd=project).returncode == 0
    assert cruft("check", "--checkout", NEWEST, cwd=project).returncode == 0
    assert cruft("diff", "--exit-code", cwd=project).returncode == 0
    edit(project / "AGENTS.md", "region eu", "region us")
    done = cruft("diff", "--exit-code", cwd=project)
    assert done.returncode == 1
    assert "-# In region us" in done.stdout


def test_cruft_cannot_compare_a_tag_without_checkout(tmp_path: Path) -> None:
    """It compares the record with a hash, and then an index that it did not fill."""
    assert cruft("check", cwd=service(tmp_path / "project", NEWEST)).returncode == 1


def test_cruft_updates_a_bake(tmp_path: Path) -> None:
    project = service(tmp_path / "project", OLD, worker_class="gevent")
    assert cruft("check", "--not-strict", cwd=project).returncode == 1
    (project / "ours.py").write_text("# ours\n")
    commit(project)
    done = cruft("update", "--skip-apply-ask", "--checkout", NEWEST, cwd=project)
    assert done.returncode == 0, done.stdout + done.stderr
    expected = files(baked(NEWEST, worker_class="gevent")) | {"ours.py": b"# ours\n"}
    found = files(project)
    del found[".cruft.json"], expected[".cruft.json"]
    assert found == expected
    assert cruft("check", cwd=project).returncode == 0


@pytest.mark.parametrize("command", [["update"], ["switch", "worker_class=asgi"]])
def test_upkeep_continues_what_cruft_began(command: list[str], tmp_path: Path) -> None:
    address = f"file://{template()}"
    options = ["--checkout", OLD, "--no-input", "--output-dir", str(tmp_path)]
    assert cruft("create", address, *options, cwd=tmp_path).returncode == 0
    project = tmp_path / "my_service"
    git("init", "--quiet", cwd=project)
    commit(project)
    name, *answers = command
    assert upkeep(name, project, *answers).code == 0
    expected = baked(NEWEST) if name == "update" else baked(OLD, worker_class="asgi")
    found, fresh = files(project), files(expected)
    del found[".cruft.json"], fresh[".cruft.json"]
    assert found == fresh
