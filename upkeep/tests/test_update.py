"""A service moves to another version of the template, and keeps what its team wrote."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from baking.combinations import SELECTED, SUPPORTED
from upkeep_helpers import (
    NEW,
    NEWEST,
    OLD,
    baked,
    bakes_are_cached,  # noqa: F401 - a fixture that is used by itself
    commit,
    edit,
    files,
    git,
    service,
    template,
    upkeep,
)

# One process bakes each set of answers once.
pytestmark = pytest.mark.xdist_group("upkeep")
KINDS = sorted({(each.worker_class, each.service_kind, each.database_driver) for each in SUPPORTED})
QUICK = {(each.worker_class, each.service_kind, each.database_driver) for each in SELECTED}


@pytest.mark.parametrize(
    ("worker_class", "kind", "driver"),
    [pytest.param(*each, marks=[] if each in QUICK else [pytest.mark.slow]) for each in KINDS],
)
def test_update_equals_a_fresh_bake(
    worker_class: str, kind: str, driver: str, tmp_path: Path
) -> None:
    answers = {"worker_class": worker_class, "service_kind": kind, "database_driver": driver}
    project = service(tmp_path / "project", **answers)
    result = upkeep("update", project)
    assert (result.code, result.err) == (0, "")
    assert files(project) == files(baked(NEWEST, **answers))
    assert git("log", "--oneline", cwd=project).count("\n") == 1
    assert git("diff", "--cached", "--name-only", cwd=project) == ""


def test_command_bakes_and_merges(tmp_path: Path) -> None:
    project = service(tmp_path / "project", worker_class="gevent")
    command = [sys.executable, "-m", "gunicorn_upkeep", "update", "."]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{OLD} -> {NEWEST}\n")
    assert files(project) == files(baked(NEWEST, worker_class="gevent"))


def test_new_prompt_gets_its_default(tmp_path: Path) -> None:
    project = service(tmp_path / "project")
    assert "new prompt: region=eu" in upkeep("update", project).out
    recorded = json.loads((project / ".cruft.json").read_text())
    assert recorded["context"]["cookiecutter"]["region"] == "eu"
    assert recorded["commit"] == NEWEST


def test_own_edits_are_kept(tmp_path: Path) -> None:
    project = service(tmp_path / "project")
    edit(project / "AGENTS.md", "Keep `atomic()` blocks short", "Keep `atomic()` blocks very short")
    (project / "orders").mkdir()
    (project / "orders" / "models.py").write_text("# ours\n")
    commit(project)
    assert upkeep("update", project).code == 0
    expected = files(baked(NEWEST))
    expected["orders/models.py"] = b"# ours\n"
    expected["AGENTS.md"] = expected["AGENTS.md"].replace(b"blocks short", b"blocks very short")
    assert files(project) == expected


def test_conflict_is_shown_and_nothing_is_lost(tmp_path: Path) -> None:
    project = service(tmp_path / "project")
    edit(project / "AGENTS.md", "# Before you change this service", "# Our rules")
    commit(project)
    result = upkeep("update", project)
    assert result.code == 1
    assert "CONFLICT AGENTS.md: changed on both sides" in result.out
    text = (project / "AGENTS.md").read_text()
    for line in ("<<<<<<< your-code", "# Our rules", "# In region eu", ">>>>>>> template"):
        assert line in text.splitlines()
    rest, fresh = files(project), files(baked(NEWEST))
    assert rest.pop("AGENTS.md") != fresh.pop("AGENTS.md")
    assert rest == fresh


def test_edited_file_outlives_its_deletion(tmp_path: Path) -> None:
    project = service(tmp_path / "project")
    with (project / "compose.yaml").open("a") as compose:
        compose.write("# ours\n")
    commit(project)
    result = upkeep("update", project)
    assert result.code == 1
    assert "CONFLICT compose.yaml: changed here, deleted in the template; kept" in result.out
    assert (project / "compose.yaml").read_text().endswith("# ours\n")


def test_deleted_file_stays_deleted(tmp_path: Path) -> None:
    project = service(tmp_path / "project")
    (project / "AGENTS.md").unlink()
    commit(project)
    result = upkeep("update", project)
    assert result.code == 0
    assert "note: AGENTS.md stays deleted" in result.out
    assert not (project / "AGENTS.md").exists()


def test_packages_are_replaced_whole(tmp_path: Path) -> None:
    project = service(tmp_path / "project")
    package = project / "packages" / "devdb"
    edit(package / "pyproject.toml", 'version = "', 'version = "7.')
    (package / "src" / "devdb" / "ours.py").write_text("")
    (project / "packages" / "own").mkdir()
    (project / "packages" / "own" / "pyproject.toml").write_text("# ours\n")
    commit(project)
    result = upkeep("update", project)
    assert result.code == 0
    assert "note: packages/devdb is replaced whole" in result.out
    expected = files(baked(NEWEST)) | {"packages/own/pyproject.toml": b"# ours\n"}
    assert files(project) == expected


def test_deleted_package_stays_deleted(tmp_path: Path) -> None:
    project = service(tmp_path / "project")
    git("rm", "-r", "--quiet", "packages/devdb", cwd=project)
    commit(project)
    assert upkeep("update", project).code == 0
    assert not (project / "packages" / "devdb").exists()


def test_version_can_be_named(tmp_path: Path) -> None:
    project = service(tmp_path / "project")
    assert upkeep("update", project, "--to", NEW[1:]).code == 0
    assert files(project) == files(baked(NEW))
    commit(project)
    assert upkeep("update", project, "--to", OLD).code == 0
    assert files(project) == files(baked(OLD))


def test_service_may_be_a_subdirectory(tmp_path: Path) -> None:
    project = service(tmp_path / "repository" / "project")
    (project / ".git").rename(tmp_path / "repository" / ".git")
    (tmp_path / "repository" / "README.md").write_text("a repository of several services\n")
    commit(tmp_path / "repository")
    assert upkeep("update", project).code == 0
    assert files(project) == files(baked(NEWEST))


def test_command_may_run_in_a_directory_of_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = service(tmp_path / "project")
    monkeypatch.chdir(project / "config")
    assert upkeep("update", "..").code == 0
    assert files(project) == files(baked(NEWEST))


def test_newer_version_is_not_taken_back(tmp_path: Path) -> None:
    project = service(tmp_path / "project", NEWEST)
    clone = tmp_path / "clone"
    git("clone", "--quiet", template(), clone, cwd=tmp_path)
    commit(clone)  # after the newest release
    newer = git("rev-parse", "HEAD", cwd=clone).strip()
    edit(
        project / ".cruft.json",
        f'"commit": "{NEWEST}",\n  "context"',
        f'"commit": "{newer}",\n  "context"',
    )
    commit(project)
    result = upkeep("update", project, "--template", clone)
    assert (result.code, result.out[:13]) == (0, "Nothing to do")


def test_update_twice_changes_nothing(tmp_path: Path) -> None:
    project = service(tmp_path / "project", NEWEST)
    result = upkeep("update", project)
    assert (result.code, result.out[:13]) == (0, "Nothing to do")
    assert git("status", "--porcelain", cwd=project) == ""


def test_dry_run_changes_nothing(tmp_path: Path) -> None:
    project = service(tmp_path / "project")
    before = files(project)
    objects = sorted((project / ".git" / "objects").rglob("*"))
    result = upkeep("update", project, "--dry-run")
    assert result.code == 0
    assert "delete compose.yaml" in result.out
    assert "change AGENTS.md" in result.out
    assert files(project) == before
    assert sorted((project / ".git" / "objects").rglob("*")) == objects


def test_json_lists_the_changes(tmp_path: Path) -> None:
    project = service(tmp_path / "project")
    found = json.loads(upkeep("update", project, "--json").out)
    assert (found["from"], found["to"]) == (OLD, NEWEST)
    assert found["new_prompts"] == {"region": "eu"}
    assert found["changes"]["compose.yaml"] == "delete"
    assert found["conflicts"] == {}


def test_directory_of_this_machine_is_not_recorded(tmp_path: Path) -> None:
    project = service(tmp_path / "project")
    clone = tmp_path / "elsewhere"
    recorded = json.loads((project / ".cruft.json").read_text())["template"]
    git("clone", "--quiet", recorded, clone, cwd=tmp_path)
    assert upkeep("update", project, "--template", clone).code == 0
    assert json.loads((project / ".cruft.json").read_text())["template"] == recorded
