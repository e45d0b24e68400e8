"""Bad answers are refused, each with a sentence that says what to type."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.combinations import REFUSED, ROOT


def generate(output: Path, **answers: str) -> subprocess.CompletedProcess[str]:
    """As a person does it, with what they see."""
    given = [f"{name}={value}" for name, value in answers.items()]
    return subprocess.run(
        [sys.executable, "-m", "cookiecutter", ROOT, "--no-input", "-o", output, *given],
        capture_output=True,
        text=True,
    )


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
        ("config", "is a package inside the project"),
        ("tests", "is a package inside the project"),
        ("database", "is a package inside the project"),
        ("health", "is a package inside the project"),
    ],
)
def test_a_bad_slug_is_refused_with_what_to_type(slug: str, reason: str, tmp_path: Path) -> None:
    done = generate(tmp_path, project_slug=slug)
    assert done.returncode != 0
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("project_slug: ")]
    assert reason in said
    assert "type " in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("combination", REFUSED, ids=str)
def test_eventlet_with_psycopg_3_is_refused(combination: object, tmp_path: Path) -> None:
    done = generate(tmp_path, **vars(combination))
    assert done.returncode != 0
    assert "psycopg 3 does not support eventlet" in done.stderr
    assert "type psycopg2" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_everything_wrong_is_said_at_once(tmp_path: Path) -> None:
    done = generate(
        tmp_path,
        project_name="two\nlines",
        project_slug="class",
        worker_class="eventlet",
        database_driver="psycopg",
    )
    assert done.returncode != 0
    for prompt in ("project_name: ", "project_slug: ", "database_driver: "):
        assert prompt in done.stderr


def test_a_choice_that_there_is_not_is_refused(tmp_path: Path) -> None:
    done = generate(tmp_path, worker_class="tornado")
    assert done.returncode != 0
    assert list(tmp_path.iterdir()) == []


def test_the_next_commands_are_printed(tmp_path: Path) -> None:
    done = generate(tmp_path, project_name="Order Book")
    assert done.returncode == 0
    assert "cd order_book && uv sync\n  uv run devdb.py run gunicorn" in done.stdout
