"""A living service gets other answers: it is what a fresh bake would be, with the team's code."""

import itertools
from pathlib import Path

import pytest

from baking.combinations import PROMPTS, Combination
from baking.interpreters import NoInterpreter
from baking.project import Project
from upkeep_helpers import (
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
OWN_FILE = "notes/reports.py"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        *(
            pytest.param(
                {"worker_class": old},
                {"worker_class": new},
                marks=[] if "gthread" in (old, new) else [pytest.mark.slow],
            )
            for old, new in itertools.permutations(PROMPTS["worker_class"], 2)
        ),
        *(
            ({name: old}, {name: new})
            for name in ("database_driver", "service_kind", "django_version")
            for old, new in itertools.permutations(PROMPTS[name], 2)
        ),
        (
            {"worker_class": "gthread"},
            {
                "worker_class": "gevent",
                "database_driver": "psycopg",
                "django_version": "6.1",
                "service_kind": "api",
            },
        ),
    ],
    ids=lambda answers: "-".join(answers.values()),
)
def test_switch_equals_a_fresh_bake(
    old: dict[str, str], new: dict[str, str], tmp_path: Path
) -> None:
    project = service(tmp_path / "project", **old)
    (project / OWN_FILE).write_text("# ours\n")
    edit(project / "AGENTS.md", "# Before you change", "# Before anyone changes")
    commit(project)
    result = upkeep("switch", project, *(f"{name}={value}" for name, value in new.items()))
    assert (result.code, result.err) == (0, "")
    expected = files(baked(OLD, **old | new)) | {OWN_FILE: b"# ours\n"}
    edited = expected["AGENTS.md"].replace(b"# Before you change", b"# Before anyone changes")
    expected["AGENTS.md"] = edited
    assert files(project) == expected


def test_same_answer_changes_nothing(tmp_path: Path) -> None:
    project = service(tmp_path / "project", worker_class="gevent")
    result = upkeep("switch", project, "worker_class=gevent")
    assert (result.code, result.out[:13]) == (0, "Nothing to do")


def test_edit_of_a_file_that_goes_is_a_conflict(tmp_path: Path) -> None:
    project = service(tmp_path / "project", service_kind="web")
    (project / "templates" / "home.html").write_text("<h1>Ours</h1>\n")
    commit(project)
    result = upkeep("switch", project, "service_kind=api")
    assert result.code == 1
    assert "CONFLICT templates/home.html: changed here, deleted" in result.out
    assert (project / "templates" / "home.html").read_text() == "<h1>Ours</h1>\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("combination", "answer"),
    [
        (Combination("gthread", "psycopg2", "5.2"), "worker_class=gevent"),
        (Combination("gevent", "psycopg2", "5.2"), "worker_class=asgi"),
        (Combination("asgi", "psycopg2", "5.2"), "worker_class=sync"),
        (Combination("gthread", "psycopg2", "5.2"), "database_driver=psycopg"),
        (Combination("gthread", "psycopg", "5.2"), "database_driver=psycopg2"),
    ],
    ids=str,
)
def test_switched_service_passes_its_tests(
    combination: Combination, answer: str, tmp_path: Path
) -> None:
    """The service is installed before the switch, as a living one is, and after it."""
    try:
        project = Project(tmp_path / "output", combination)
    except NoInterpreter as reason:
        pytest.skip(str(reason))
    address = f"file://{template()}"
    edit(project.directory / ".cruft.json", '"template": "unknown"', f'"template": "{address}"')
    git("init", "--quiet", cwd=project.directory)
    commit(project.directory)
    assert upkeep("switch", project.directory, answer).code == 0
    project.install()
    project.run("uv", "run", "pytest")
