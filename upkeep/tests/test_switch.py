"""A living service gets other answers: it is what a fresh bake would be, with the team's code."""

import itertools
from pathlib import Path

import pytest
from upkeep_helpers import OLD, baked, commit, edit, files, service, upkeep

from baking.combinations import PROMPTS, PYTHON, Combination
from baking.interpreters import NoInterpreter
from baking.project import Project

OWN_FILE = "notes/reports.py"
# A line that all bakes have, far from what the answers change.
OLD_LINE, OWN_LINE = "db_index=True", "db_index=False"


def own_line(project: Path) -> None:
    """Edit a line of the service."""
    edit(project / ".editorconfig", "root = true", "root = false")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        *(
            ({"worker_class": old}, {"worker_class": new})
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
    own_line(project)
    commit(project)
    result = upkeep("switch", project, *(f"{name}={value}" for name, value in new.items()))
    assert (result.code, result.err) == (0, "")
    expected = files(baked(OLD, **old | new)) | {OWN_FILE: b"# ours\n"}
    expected[".editorconfig"] = expected[".editorconfig"].replace(b"= true", b"= false", 1)
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


class Switched(Project):
    """A service that was switched, installed."""

    def __init__(self, directory: Path, combination: Combination, *answers: str) -> None:
        self.combination = combination
        self.environment = self.inherited(directory)
        self.directory = service(directory, **combination.answers)
        assert upkeep("switch", directory, *answers).code == 0
        self.install()


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
    try:
        project = Switched(tmp_path / "project", combination, answer)
    except NoInterpreter as reason:
        pytest.skip(f"{reason} ({PYTHON[combination.django_version]})")
    project.run("uv", "run", "pytest")
