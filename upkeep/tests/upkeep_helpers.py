"""Tagged versions of this template in a local repository, and services that were baked from it."""

import atexit
import functools
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from baking.combinations import PROMPTS
from baking.project import snapshot
from gunicorn_upkeep.__main__ import main

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
    edit(repository / "cookiecutter.json", '  "service_kind": [', '  "region": ["eu", "us"],\n  "service_kind": [')
    edit(project / "AGENTS.md", "# Before you change this service", "# Region {{ cookiecutter.region }}")
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


@functools.cache
def baked(version: str, **answers: str) -> Path:
    """Return the directory of a project that cookiecutter baked; tests only read it."""
    output = Path(tempfile.mkdtemp(dir=scratch()))
    config = output / "config.json"
    config.write_text(json.dumps({name: str(output / name) for name in ("cookiecutters_dir", "replay_dir")}))
    given = [f"{name}={value}" for name, value in answers.items()]
    address = f"git+file://{template()}"
    options = ["--no-input", "--config-file", config, "--output-dir", output / "project"]
    subprocess.run(
        [sys.executable, "-m", "cookiecutter", *options, "--checkout", version, address, *given],
        capture_output=True,
        check=True,
    )
    (project,) = (output / "project").iterdir()
    return project


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
