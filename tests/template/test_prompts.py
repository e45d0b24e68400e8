"""Wrong answers are refused with a sentence that says what to type instead."""

from pathlib import Path

import pytest

from baking.combinations import PROMPTS, REFUSED, Combination
from baking.project import run_cookiecutter


@pytest.mark.parametrize(
    ("slug", "reason"),
    [
        ("My-Service", "is not an identifier"),
        ("2fast", "is not an identifier"),
        ("naïve", "is not an identifier"),
        ("a b", "is not an identifier"),
        ("x" * 41, "is too long"),
        ("class", "is a Python keyword"),
        ("match", "is a Python keyword"),
        ("json", "is a module of Python's standard library"),
        ("test", "is a module of Python's standard library"),
        ("django", "is a package that the project depends on"),
        ("psycopg2", "is a package that the project depends on"),
        ("connection_slots", "is a package inside the project"),
        ("devdb", "is a package inside the project"),
        ("config", "is a package inside the project"),
        ("packages", "is a package inside the project"),
        ("accounts", "is a package inside the project"),
        ("structlog", "is a package that the project depends on"),
        ("tests", "is a package inside the project"),
    ],
)
def test_bad_slug_is_refused(slug: str, reason: str, tmp_path: Path) -> None:
    done = run_cookiecutter(tmp_path, project_slug=slug)
    assert done.returncode != 0
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("project_slug: ")]
    assert reason in said
    assert "type " in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("combination", REFUSED, ids=str)
def test_eventlet_with_psycopg_3_is_refused(combination: Combination, tmp_path: Path) -> None:
    done = run_cookiecutter(tmp_path, **combination.answers)
    assert done.returncode != 0
    assert "psycopg 3 does not support eventlet" in done.stderr
    assert "type psycopg2" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    done = run_cookiecutter(
        tmp_path,
        project_name="two\nlines",
        project_slug="class",
        worker_class="eventlet",
        database_driver="psycopg",
    )
    assert done.returncode != 0
    for prompt in ("project_name: ", "project_slug: ", "database_driver: "):
        assert prompt in done.stderr


def test_unknown_choice_is_refused(tmp_path: Path) -> None:
    done = run_cookiecutter(tmp_path, worker_class="tornado")
    assert done.returncode != 0
    assert list(tmp_path.iterdir()) == []


def test_next_commands_are_printed(tmp_path: Path) -> None:
    done = run_cookiecutter(tmp_path, project_name="Order Book")
    assert done.returncode == 0
    assert "cd order_book && uv sync\n  uv run devdb run gunicorn" in done.stdout


def test_every_choice_has_a_label() -> None:
    for name, choices in PROMPTS.items():
        if isinstance(choices, list) and not name.startswith("_"):
            assert set(PROMPTS["__prompts__"][name]) == {"__prompt__", *choices}
