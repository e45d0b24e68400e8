"""The page on a team's own conventions works as it says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from baking.combinations import DEFAULT, ROOT
from baking.project import CommandFailed, snapshot
from tests.template.conftest import Install

PAGE = (ROOT / "docs" / "conventions.md").read_text()
FILES = dict(re.findall(r"^```\w+ ([\w.]+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))


def write(directory: Path, *names: str) -> None:
    for name in names:
        (directory / name).write_text(FILES[name])


def run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300)


def bake(directory: Path) -> subprocess.CompletedProcess[str]:
    config = ["--config-file", directory / "team.yaml", "--output-dir", directory, "--no-input"]
    return run(sys.executable, "-m", "cookiecutter", *config, snapshot())


def test_defaults_come_from_the_team(tmp_path: Path) -> None:
    write(tmp_path, "team.yaml")
    done = bake(tmp_path)
    assert done.returncode == 0, done.stderr
    project = tmp_path / "my_service"
    assert 'worker_class = "gevent"' in (project / "gunicorn.conf.py").read_text()
    assert "psycopg[binary]" in (project / "pyproject.toml").read_text()
    assert not (project / "accounts").exists()


def test_unknown_default_is_named(tmp_path: Path) -> None:
    (tmp_path / "team.yaml").write_text("default_context:\n  worker_class: tornado\n")
    done = bake(tmp_path)
    assert done.returncode == 0
    assert "tornado" in done.stderr
    assert 'worker_class = "gthread"' in (tmp_path / "my_service" / "gunicorn.conf.py").read_text()


def test_doctor_applies_the_rules_of_the_team(tmp_path: Path) -> None:
    rules = tmp_path / "team-rules"
    rules.mkdir()
    write(rules, "pyproject.toml", "team_rules.py")
    write(tmp_path, "team.yaml")
    assert bake(tmp_path).returncode == 0
    environment = tmp_path / "environment"
    for command in (
        ["uv", "venv", "--quiet", "--python", sys.executable, environment],
        ["uv", "pip", "install", "--quiet", "--python", environment, ROOT / "doctor", rules],
    ):
        done = run(*command)
        assert done.returncode == 0, done.stderr
    done = run(environment / "bin" / "django-gunicorn-doctor", "check", tmp_path / "my_service")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "error TEAM001 CONN_MAX_AGE is 60" in done.stdout


def test_deploy_check_fails_the_gate(install: Install, tmp_path: Path) -> None:
    project = install(DEFAULT).copy(tmp_path / "project")
    team = project.directory / "team"
    team.mkdir()
    write(team, "checks.py")
    (team / "__init__.py").touch()
    settings = project.directory / "config" / "settings.py"
    settings.write_text(f'{settings.read_text()}\nINSTALLED_APPS += ["team.apps.TeamConfig"]\n')
    (team / "apps.py").write_text(
        "from django.apps import AppConfig\n\n\n"
        "class TeamConfig(AppConfig):\n"
        '    name = "team"\n\n'
        "    def ready(self) -> None:\n"
        "        from team import checks  # noqa: F401\n"
    )
    with pytest.raises(CommandFailed, match=r"team\.W001.*HSTS ends after less than a day"):
        project.run("uv", "run", "devdb", "run", "poe", "deploy", PATH=os.environ["PATH"])
