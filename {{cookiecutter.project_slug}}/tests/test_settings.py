"""The settings: safe in production, and one clear line where the environment is wrong."""

import os
import runpy
import subprocess
import sys

import pytest
from django.conf import settings
from django.db import connection
from environs import EnvError

from tests.server import PRODUCTION, ROOT


def manage(*arguments: str, **environment: str | None) -> subprocess.CompletedProcess[str]:
    return python("manage.py", *arguments, **environment)


def python(*arguments: str, **environment: str | None) -> subprocess.CompletedProcess[str]:
    """Run in the project's root, with a production environment but for what is given."""
    given = {name: os.environ[name] for name in ("PATH", "DATABASE_URL")}
    wanted = given | PRODUCTION | environment
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={name: value for name, value in wanted.items() if value is not None},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_production_passes_the_deployment_checks() -> None:
    done = manage("check", "--deploy", "--fail-level", "WARNING", "--database", "default")
    assert done.returncode == 0, done.stderr


def test_gunicorn_accepts_its_configuration() -> None:
    done = python("-m", "gunicorn", "--check-config")
    assert done.returncode == 0, done.stderr


def test_migrations_are_complete() -> None:
    done = manage("makemigrations", "--check", "--dry-run")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", None),
        ("SECRET_KEY", ""),
        ("DATABASE_URL", None),
        ("DATABASE_URL", "not a url"),
        ("DATABASE_URL", "mysql://localhost/name"),
        ("DATABASE_URL", "postgresql://localhost:port/name"),
        ("ALLOWED_HOSTS", None),
        ("DEBUG", "maybe"),
        ("CONN_MAX_AGE", "-1"),
        ("CONN_MAX_AGE", "1m"),
{% if cookiecutter.worker_class != 'sync' %}
        ("DATABASE_SLOTS", "0"),
{% endif %}
{% if cookiecutter.__lends %}
        ("DATABASE_SLOT_TIMEOUT", "0"),
{% endif %}
    ],
)
def test_a_wrong_variable_is_named(
    name: str, value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for good in PRODUCTION:
        monkeypatch.setenv(good, PRODUCTION[good])
    if value is None:
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, value)
    with pytest.raises(EnvError, match=name):
        runpy.run_path(str(ROOT / "config" / "settings.py"))


def test_a_wrong_environment_is_one_line() -> None:
    done = manage("check", DATABASE_URL="mysql://localhost/name")
    assert done.returncode != 0
    assert "DATABASE_URL" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_connections_persist_and_are_checked() -> None:
    database = settings.DATABASES["default"]
    assert database["CONN_MAX_AGE"] == 60
    assert database["CONN_HEALTH_CHECKS"] is True


@pytest.mark.django_db
def test_the_server_ends_what_a_client_forgot() -> None:
    with connection.cursor() as cursor:
        for name, value in [
            ("statement_timeout", "15s"),
            ("idle_in_transaction_session_timeout", "30s"),
        ]:
            cursor.execute("SELECT current_setting(%s)", [name])
            assert cursor.fetchone() == (value,)


@pytest.mark.django_db
def test_the_application_name_tells_the_service_and_the_process() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SHOW application_name")
        assert cursor.fetchone() == (f"{{ cookiecutter.project_slug }}-{os.getpid()}",)
