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


def run_pytest(directory: Path, tests: str) -> None:
    """Run `tests` in a project in `directory`, and assert that they pass."""
    (directory / "pyproject.toml").write_text('[project]\nname = "own"\n')
    (directory / "own_settings.py").write_text(SETTINGS)
    (directory / "test_own.py").write_text(tests)
    plugins = ["-p", "devdb.pytest_plugin", "-p", "connection_slots.testing"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *plugins, "--ds", "own_settings", "--rootdir", "."],
        cwd=directory,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_live_database_is_a_test_database(tmp_path: Path) -> None:
    """pytest-django creates one only if a collected test asks for `db`."""
    run_pytest(tmp_path, TESTS)


def test_live_database_is_that_of_pytest_django(tmp_path: Path) -> None:
    run_pytest(tmp_path, TESTS + WITH_DB)
