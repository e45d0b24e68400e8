"""The settings are safe in production, and a wrong environment is one clear line."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from connection_slots.backend.base import RESTART_TAKES
from connection_slots.checks import effective_config
from connection_slots.testing.server import PRODUCTION, production
from django.conf import settings
from django.db import connection
from environs import EnvError

SETTINGS = str(settings.BASE_DIR / "config" / "settings.py")


@pytest.mark.parametrize(
    "command",
    [
        "manage.py check --deploy --fail-level WARNING --database default",
        "manage.py makemigrations --check --dry-run",
        "-m gunicorn --check-config",
    ],
)
def test_project_passes(command: str) -> None:
    done = subprocess.run(
        [sys.executable, *command.split()],
        cwd=settings.BASE_DIR,
        env=production(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", None),
        ("SECRET_KEY", ""),
        ("DATABASE_URL", None),
        ("DATABASE_URL", "mysql://localhost/name"),
        ("DATABASE_URL", "postgresql://localhost:port/name"),
        ("ALLOWED_HOSTS", None),
        ("DEBUG", "maybe"),
        ("CONN_MAX_AGE", "-1"),
        ("DATABASE_SLOT_TIMEOUT", "0"),
        ("DATABASE_POOLER", "session"),
    ],
)
def test_wrong_variable_is_named(
    name: str, value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for good in PRODUCTION:
        monkeypatch.setenv(good, PRODUCTION[good])
    if value is None:
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, value)
    with pytest.raises(EnvError, match=name):
        runpy.run_path(SETTINGS)


def test_env_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "environment").write_text("SECRET_KEY=from .env\nALLOWED_HOSTS=from .env\n")
    monkeypatch.setenv("ENV_FILE", str(tmp_path / "environment"))
    monkeypatch.delenv("SECRET_KEY", raising=False)
    monkeypatch.setenv("ALLOWED_HOSTS", "from the environment")
    read = runpy.run_path(SETTINGS)
    assert read["SECRET_KEY"] == "from .env"
    assert read["ALLOWED_HOSTS"] == ["from the environment"]


def test_secret_is_read_from_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for good in PRODUCTION:
        monkeypatch.setenv(good, PRODUCTION[good])
    monkeypatch.delenv("SECRET_KEY")
    monkeypatch.setenv("SECRET_KEY_FILE", str(tmp_path / "secret-key"))
    with pytest.raises(EnvError, match=r"SECRET_KEY_FILE.*No such file"):
        runpy.run_path(SETTINGS)
    (tmp_path / "secret-key").write_text("from a file\n")
    assert runpy.run_path(SETTINGS)["SECRET_KEY"] == "from a file"
    monkeypatch.setenv("SECRET_KEY", "from the environment")
    with pytest.raises(EnvError, match="SECRET_KEY is set too"):
        runpy.run_path(SETTINGS)


@pytest.mark.django_db
def test_time_limits_respect_each_other() -> None:
    config = effective_config()
    database = settings.DATABASES["default"]
    assert database["CONN_MAX_AGE"] > 0
    connect = RESTART_TAKES + database["OPTIONS"]["connect_timeout"]
    statement = settings.DATABASE_STATEMENT_TIMEOUT
    assert settings.DATABASE_SLOT_TIMEOUT + connect + statement < config.timeout
    assert statement < config.graceful_timeout < 30
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('statement_timeout')")
        assert cursor.fetchone() == (f"{statement}s",)
