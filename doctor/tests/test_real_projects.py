"""The doctor on projects as published templates make them, on startproject, and on our own bakes.

Nothing of another project is in this repository: each is fetched at a fixed commit, or skipped with
the reason. DOCTOR_REPOSITORIES names a mirror, with {owner} and {name} in it.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from baking.combinations import SELECTED, SUPPORTED, Combination
from baking.project import generate
from doctor_helpers import Check

REPOSITORIES = os.environ.get("DOCTOR_REPOSITORIES", "https://github.com/{owner}/{name}")
TIMEOUT = 180  # seconds for a command that uses the network
TIMEOUTS = {"DG010", "DG011"}  # what nearly every project lacks


@dataclass
class Published:
    """A template or project on GitHub, and what the doctor finds in what it makes."""

    repository: str
    commit: str
    found: set[str]  # apart from what may not be understood
    tool: str = ""  # cookiecutter or copier; empty for a project that is used as it is
    answers: dict[str, str] = field(default_factory=dict)
    name: str = ""
    directory: str = "."  # of a project that is used as it is
    place: str = ""  # where the first of the contradictions is

    def __str__(self) -> str:
        return self.name or self.repository


KEEL = {
    "project_name": "Shop",
    "project_description": "A shop",
    "author_name": "A. Author",
    "author_email": "a@example.com",
    "deployment_targets": "[kubernetes, render]",
}
PUBLISHED = [
    Published(
        "cookiecutter/cookiecutter-django",
        "2d3b8809f288187b3014163a3310766b5f962cf9",
        {"DG001", *TIMEOUTS},
        "cookiecutter",
        {"use_async": "y", "use_docker": "y"},
        "cookiecutter-django, use_async",
        place="config/settings/production.py",
    ),
    Published(
        "cookiecutter/cookiecutter-django",
        "2d3b8809f288187b3014163a3310766b5f962cf9",
        TIMEOUTS,
        "cookiecutter",
        {"use_async": "n", "use_docker": "y"},
        "cookiecutter-django",
    ),
    Published(
        "wemake-services/wemake-django-template",
        "e922ccf35666688e63e268343c8a25be771057ee",
        set(),
        "cookiecutter",
        {"project_name": "shop", "project_domain": "shop.example", "organization": "acme"},
    ),
    Published(
        "reef-technologies/cookiecutter-rt-django",
        "37c7535e0c569ccc818a2ab26978ebc3458af3df",
        {"DG009", *TIMEOUTS},
        "cookiecutter",
        {"use_channels": "False"},
        place="app/envs/prod/gunicorn.conf.py",
    ),
    Published(
        "heroku/python-getting-started", "f7c8d9929a782e90bc0bb9320f2cb43a3d62958d", TIMEOUTS
    ),
    Published("nickjj/docker-django-example", "25de410956b80fe4e3388296a58106c03b5b3647", TIMEOUTS),
    Published(
        "westerveltco/django-twc-project",
        "8e682360b356d409e21ed5f186448a0275da9642",
        {"DG003", *TIMEOUTS},
        directory="examples/default",
        place="default/settings.py",
    ),
    Published(
        "CuriousLearner/django-keel",
        "cd95c94aacd9e752907dca1e8b313d11a4c8c568",
        {"DG001", *TIMEOUTS},
        "copier",
        {**KEEL, "use_channels": "true"},
        "django-keel, use_channels",
        place="config/settings/prod.py",
    ),
    Published(
        "mascah/platform-django-template",
        "39d9a4a2ff755e56ba3aa1236981352acbf4e1cf",
        {"DG001", *TIMEOUTS},
        "copier",
        {"project_name": "Shop", "use_async": "true", "use_heroku": "true"},
        place="config/settings/production.py",
    ),
    Published(
        "albertomh/djereo",
        "0d79cb70786fbb57863c2bb6882b37869becd90a",
        {"DG003", "DG015", *TIMEOUTS},
        "copier",
        {"project_name": "shop", "author_name": "A. Author", "author_email": "a@example.com"},
        place="shop/settings.py",
    ),
]


def run(*command: str, directory: Path) -> str:
    """Run a command, and return an empty string, or the last line of what went wrong."""
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "UV_PYTHON_DOWNLOADS": "never"}
    try:
        done = subprocess.run(
            command, cwd=directory, env=environment, capture_output=True, text=True, timeout=TIMEOUT
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    lines = (done.stderr or done.stdout).strip().splitlines()
    return (lines or ["no message"])[-1] if done.returncode else ""


@pytest.fixture(scope="session")
def fetch(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Published], Path]:
    """Return a function that fetches a repository once, or skips the test with the reason."""
    fetched: dict[str, tuple[Path, str]] = {}

    def once(project: Published) -> Path:
        if project.repository not in fetched:
            directory = tmp_path_factory.mktemp("repository")
            owner, name = project.repository.split("/")
            url = REPOSITORIES.format(owner=owner, name=name)
            reason = (
                run("git", "init", "--quiet", directory=directory)
                or run("git", "fetch", "--depth=1", url, project.commit, directory=directory)
                or run("git", "checkout", "--quiet", "FETCH_HEAD", directory=directory)
            )
            if project.tool == "copier":
                shutil.rmtree(directory / ".git")  # it would take the newest tag instead
            fetched[project.repository] = directory, reason
        directory, reason = fetched[project.repository]
        if reason:
            pytest.skip(f"cannot fetch {project.repository}: {reason}")
        return directory

    return once


def make(project: Published, source: Path, output: Path) -> Path:
    """Return the directory of the project, generated without hooks and tasks if it is a template.

    Hooks and tasks remove files, install and lock; none of it changes how a project is served.
    """
    if not project.tool:
        return source / project.directory
    extensions = ["--with", "jinja2-time", "--with", "jinja2-git"]
    answers = [f"{name}={value}" for name, value in project.answers.items()]
    if project.tool == "cookiecutter":
        options = ["--no-input", "--default-config", "--accept-hooks", "no", "-o", str(output)]
        command = ["cookiecutter", str(source), *options, *answers]
    else:
        data = [word for answer in answers for word in ("--data", answer)]
        options = ["--defaults", "--skip-tasks", "--trust", "--quiet"]
        command = ["copier", "copy", *options, *data, str(source), str(output / "project")]
    if reason := run("uvx", *extensions, "--from", project.tool, *command, directory=output):
        pytest.skip(f"cannot generate {project}: {reason}")
    (made,) = output.iterdir()
    return made


@pytest.mark.parametrize("project", PUBLISHED, ids=str)
def test_contradictions_of_published_projects_are_found(
    project: Published, fetch: Callable[[Published], Path], tmp_path: Path, check: Check
) -> None:
    answer = check(make(project, fetch(project), tmp_path))
    assert project.found <= answer.rules
    # An error or a warning that is not expected would be a false alarm, or news.
    serious = {each["rule"] for each in answer.data["findings"] if each["severity"] != "note"}
    assert serious <= project.found | {"DG006"}
    if project.place:
        first = min(project.found - TIMEOUTS)
        assert answer.places(first)[0].startswith(f"{project.place}:")


def test_project_of_a_published_package_is_understood(tmp_path: Path, check: Check) -> None:
    options = ["--database", "postgres", "--docker", "--yes"]
    command = ["uvx", "--from", "django-api-starter==0.2.0", "django-starter", "new", "shop"]
    if reason := run(*command, *options, directory=tmp_path):
        pytest.skip(f"cannot run django-api-starter: {reason}")
    answer = check(tmp_path / "shop")
    assert answer.rules == {"DG015", *TIMEOUTS}
    assert answer.data["settings"]["path"] == "conf/settings/production.py"


def test_startproject_has_no_finding(tmp_path: Path, check: Check) -> None:
    command = [sys.executable, "-m", "django", "startproject", "site1", str(tmp_path)]
    subprocess.run(command, check=True)
    answer = check(tmp_path)
    assert answer.data["findings"] == []
    assert answer.data["servers"] == []


@pytest.mark.parametrize(
    "combination",
    [
        pytest.param(each, marks=[] if each in SELECTED else [pytest.mark.slow], id=str(each))
        for each in SUPPORTED
    ],
)
def test_own_projects_have_no_finding(
    combination: Combination, tmp_path: Path, check: Check
) -> None:
    project = generate(tmp_path, **combination.answers)
    answer = check(project)
    assert answer.data["findings"] == []
    assert answer.data["unchecked"] == []
    assert {each["worker_class"] for each in answer.data["servers"]} == {combination.worker_class}
    # Nothing is found because the backend bounds connections, not because it is not understood.
    settings = project / "config" / "settings.py"
    plain = settings.read_text().replace(
        "connection_slots.backend", "django.db.backends.postgresql"
    )
    settings.write_text(plain)
    green = combination.worker_class in {"asgi", "gevent", "eventlet"}
    assert ("DG001" in check(project).rules) is green
