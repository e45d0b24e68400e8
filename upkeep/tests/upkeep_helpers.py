"""Tagged versions of this template in a local repository, and services that were baked from it."""

import atexit
import functools
import io
import json
import os
import shutil
import subprocess
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cookiecutter.main import cookiecutter

from baking.combinations import PROMPTS
from baking.project import snapshot
from gunicorn_upkeep.__main__ import main
from gunicorn_upkeep.template import Version

OLD = f"v{PROMPTS['_version']}"
NEW, NEWEST = "v91.0.0", "v92.0.0"
IDENTITY = ["-c", "user.name=Test", "-c", "user.email=test@example.invalid"]


def git(*arguments: str | Path, cwd: Path) -> str:
    """Run git in a directory and return what it wrote."""
    command = ["git", *IDENTITY, *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True).stdout


@functools.cache
def scratch() -> Path:
    """Return a directory that is removed when this process ends."""
    directory = Path(tempfile.mkdtemp(prefix="upkeep-tests-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory


@functools.cache
def template() -> Path:
    """Return a repository with three versions of this template.

    The second changes a rendered file and a package, removes a file and asks a new question. The
    third changes the same line of the rendered file again.
    """
    repository = scratch() / "template.git"  # cookiecutter clones a path only if it says git
    shutil.copytree(snapshot(), repository)
    git("init", "--quiet", "--initial-branch=main", cwd=repository)
    release(repository, OLD)
    project = repository / "{{cookiecutter.project_slug}}"
    edit(
        repository / "cookiecutter.json",
        '  "service_kind": [',
        '  "region": ["eu", "us"],\n  "service_kind": [',
    )
    edit(
        project / "AGENTS.md",
        "# Before you change this service",
        "# Region {{ cookiecutter.region }}",
    )
    (project / "compose.yaml").unlink()
    package = project / "packages" / "devdb"
    edit(package / "pyproject.toml", 'version = "', 'version = "91.')
    (package / "src" / "devdb" / "added.py").write_text('"""Added."""\n')
    (package / "CHANGELOG.md").unlink()
    release(repository, NEW)
    edit(project / "AGENTS.md", "# Region {{", "# In region {{")
    release(repository, NEWEST)
    return repository


def release(repository: Path, tag: str) -> None:
    """Set the version in cookiecutter.json, commit everything, and tag the commit."""
    prompts = repository / "cookiecutter.json"
    version = json.loads(prompts.read_text())["_version"]
    edit(prompts, f'"_version": "{version}"', f'"_version": "{tag[1:]}"')
    git("add", "--all", "--force", cwd=repository)
    git("commit", "--quiet", "--message", tag, cwd=repository)
    git("tag", tag, cwd=repository)


def edit(path: Path, old: str, new: str) -> None:
    """Replace the only occurrence of a text in a file."""
    text = path.read_text()
    assert text.count(old) == 1, (path, old)
    path.write_text(text.replace(old, new))


def baked(version: str, **answers: str) -> Path:
    """Return the directory of a project that cookiecutter baked; tests only read it."""
    defaults = {
        name: default[0] if isinstance(default, list) else default
        for name, default in PROMPTS.items()
        if not name.startswith("_")
    }
    defaults |= {"project_slug": "my_service"} | ({} if version == OLD else {"region": "eu"})
    known = {name: answers.get(name, default) for name, default in defaults.items()}
    return _baked(version, **known)


@functools.cache
def _baked(version: str, **answers: str) -> Path:
    output = Path(tempfile.mkdtemp(dir=scratch()))
    folders = {name: str(output / name) for name in ("cookiecutters_dir", "replay_dir")}
    (output / "config.json").write_text(json.dumps(folders))
    project = cookiecutter(
        f"git+file://{template()}",
        checkout=version,
        no_input=True,
        extra_context=answers,
        config_file=str(output / "config.json"),
        output_dir=str(output / "project"),
    )
    return Path(project)


def cached_bake(version: Version, answers: dict[str, str], output: Path) -> tuple[Path, Any]:
    """Bake like Version.bake(), but each set of answers once in this process: tests are faster."""
    shutil.copytree(baked(version.name, **answers), output)
    record = output / ".cruft.json"
    context = json.loads(record.read_text())["context"]["cookiecutter"]
    record.unlink()
    return output, context


@pytest.fixture(autouse=True)
def bakes_are_cached(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bake each set of answers once in this process, except in slow tests."""
    if not request.node.get_closest_marker("slow"):
        monkeypatch.setattr(Version, "bake", cached_bake)


def service(directory: Path, version: str = OLD, **answers: str) -> Path:
    """Return a committed copy of a bake, for a test that changes it."""
    shutil.copytree(baked(version, **answers), directory)
    git("init", "--quiet", "--initial-branch=main", cwd=directory)
    commit(directory)
    return directory


def commit(project: Path) -> None:
    """Commit all changes of a project."""
    git("add", "--all", cwd=project)
    git("commit", "--quiet", "--allow-empty", "--message", "work", cwd=project)


def files(project: Path) -> dict[str, bytes]:
    """Return the bytes of each file of a project by path, without git's own."""
    return {
        str(path.relative_to(project)): path.read_bytes()
        for path in project.rglob("*")
        if path.is_file() and path.relative_to(project).parts[0] not in {".git", ".venv"}
    }


@dataclass(frozen=True)
class Result:
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str


def upkeep(*arguments: str | Path) -> Result:
    """Run the command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = main([os.fspath(argument) for argument in arguments])
        except SystemExit as exit_:
            code = int(exit_.code or 0)
    return Result(code, out.getvalue(), err.getvalue())
