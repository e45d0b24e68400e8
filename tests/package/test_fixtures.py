"""The pytest fixtures of connection_slots, in a project of a test's own."""

import subprocess
import sys
from pathlib import Path

SETTINGS = """
import os
import dj_database_url

database = dj_database_url.parse(os.environ["DATABASE_URL"])
DATABASES = {"default": {**database, "ENGINE": "connection_slots.backend"}}
INSTALLED_APPS = ["django.contrib.contenttypes"]
SECRET_KEY = "for tests only"
"""
TESTS = """
from django.db import connection


def test_database(live_database):
    assert connection.settings_dict["NAME"].startswith("test_")
    assert "django_content_type" in connection.introspection.table_names()
"""
WITH_DB = """

def test_with_db(db):
    pass
"""


FAILING = """
import pathlib
import pytest


class Server:
    log = pathlib.Path("gunicorn.log")


@pytest.fixture
def small_server():
    Server.log.write_text("the worker was killed")
    return Server


def test_fails(small_server):
    assert False
"""


def run_pytest(directory: Path, tests: str) -> None:
    """Run `tests` in a project in `directory`, and assert that they pass."""
    done = attempt_pytest(directory, tests)
    assert done.returncode == 0, done.stdout + done.stderr


def attempt_pytest(directory: Path, tests: str) -> "subprocess.CompletedProcess[str]":
    """Run `tests` in a project in `directory`, and return the finished process."""
    (directory / "pyproject.toml").write_text('[project]\nname = "own"\n')
    (directory / "own_settings.py").write_text(SETTINGS)
    (directory / "test_own.py").write_text(tests)
    plugins = ["-p", "devdb.pytest_plugin", "-p", "connection_slots.testing"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *plugins, "--ds", "own_settings", "--rootdir", "."],
        cwd=directory,
        capture_output=True,
        text=True,
    )


def test_live_database_is_a_test_database(tmp_path: Path) -> None:
    """pytest-django creates one only if a collected test asks for `db`."""
    run_pytest(tmp_path, TESTS)


def test_live_database_is_that_of_pytest_django(tmp_path: Path) -> None:
    run_pytest(tmp_path, TESTS + WITH_DB)


def test_log_of_gunicorn_is_shown_with_a_failure(tmp_path: Path) -> None:
    done = attempt_pytest(tmp_path, FAILING)
    assert done.returncode == 1
    assert "the worker was killed" in done.stdout
