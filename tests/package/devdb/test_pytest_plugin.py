"""The pytest plugin, in projects whose addopts name it."""

import signal
import subprocess

import psycopg
import pytest

from devdb import Cluster
from tests.package.devdb.support import TIMEOUT, Project, ask, wait_for

# Only the plugins that a test needs: the others take longer to import than the tests to run.
OPTIONS = (
    *("-p", "no:cacheprovider", "--disable-plugin-autoload"),
    *("-p", "pytest_django.plugin", "-p", "xdist.plugin"),
    *("-o", "faulthandler_timeout=60"),  # a test that hangs shows where
)
PYPROJECT = """\
[project]
name = "my-shop"

[tool.pytest.ini_options]
addopts = "-p devdb.pytest_plugin"
"""
# Notes what it was given, so that the test of the test can compare.
NOTE = """\
import os
from pathlib import Path

def test_note(request):
    names = ["DATABASE_URL", "ENV_FILE", "DEBUG", "SECRET_KEY"]
    Path("noted").write_text("\\n".join(os.environ[name] for name in names))
"""
SETTINGS = """\
import os
from pathlib import Path
from urllib.parse import urlsplit

from dotenv import dotenv_values

named = os.environ.get("ENV_FILE", ".env")
values = dotenv_values(Path(__file__).parent / named) if named else {}
values |= os.environ
url = urlsplit(values["DATABASE_URL"])
SECRET_KEY = values["SECRET_KEY"]
HOSTILE = values.get("HOSTILE")
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": url.hostname,
        "PORT": url.port,
        "USER": url.username,
        "PASSWORD": url.password,
        "NAME": url.path[1:],
    }
}
"""
DJANGO_TESTS = """\
import time
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection

@pytest.mark.parametrize("number", range(4))
@pytest.mark.django_db
def test_database(number):
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_database()")
        name = cursor.fetchone()[0]
    assert name.startswith("test_my_shop")
    assert settings.HOSTILE is None
    Path(f"noted-{name}-{settings.DATABASES['default']['PORT']}").touch()
    time.sleep(0.2)
"""
HOSTILE = "DATABASE_URL=postgresql://hostile:1/x\nSECRET_KEY=hostile\nDEBUG=false\nHOSTILE=1\n"


@pytest.fixture
def project(project: Project) -> Project:
    project.write("pyproject.toml", PYPROJECT)
    return project


def run_tests(
    project: Project, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    return project.run(*OPTIONS, *arguments, module="pytest", **environment)


def noted(project: Project) -> list[str]:
    return project.read("noted").splitlines()


def assert_stopped(url: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="refused"):
        ask(url, "SELECT 1")


def test_throw_away_server_is_started(project: Project) -> None:
    project.write("test_it.py", NOTE)
    done = run_tests(project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "database: throw-away, by devdb" in done.stdout
    url, env_file, debug, secret_key = noted(project)
    assert url.startswith("postgresql://my_shop:")
    assert (env_file, debug, len(secret_key)) == ("", "true", 51)
    assert_stopped(url)
    assert not (project.root / ".devdb").exists()


def test_server_of_environment_is_used(project: Project, running: Cluster) -> None:
    project.write("test_it.py", NOTE)
    given = {"DATABASE_URL": running.url, "SECRET_KEY": "given", "DEBUG": "false"}
    done = run_tests(project, **given, DEVDB_BINARIES="/no/such/directory")
    assert "database: DATABASE_URL" in done.stdout
    assert noted(project) == [running.url, "", "false", "given"]
    assert ask(running.url, "SELECT 1") == 1


def test_no_project_is_needed_for_a_given_server(project: Project, running: Cluster) -> None:
    project.write("test_it.py", NOTE)
    project.write("pyproject.toml", PYPROJECT.replace("name", "title"))
    assert run_tests(project, DATABASE_URL=running.url).returncode == 0


def test_env_file_is_not_read(project: Project) -> None:
    project.write(".env", HOSTILE)
    project.write("test_it.py", NOTE)
    done = run_tests(project, ENV_FILE=".env")
    assert done.returncode == 0, done.stdout + done.stderr
    url, env_file, debug, secret_key = noted(project)
    assert url.startswith("postgresql://my_shop:")
    assert (env_file, debug, len(secret_key)) == ("", "true", 51)


@pytest.mark.parametrize("processes", [0, 2])
def test_django_uses_the_server(project: Project, processes: int) -> None:
    project.write("pyproject.toml", PYPROJECT + 'DJANGO_SETTINGS_MODULE = "settings"\n')
    project.write("settings.py", SETTINGS)
    project.write("test_it.py", DJANGO_TESTS)
    project.write(".env", HOSTILE)
    done = run_tests(project, f"--numprocesses={processes}", "--dist=load")
    assert done.returncode == 0, done.stdout + done.stderr
    notes = [path.name.split("-") for path in project.root.glob("noted-*")]
    assert len({port for _, _, port in notes}) == 1
    names = {"test_my_shop"} if not processes else {"test_my_shop_gw0", "test_my_shop_gw1"}
    assert {name for _, name, _ in notes} == names


def test_django_uses_a_given_server(project: Project, running: Cluster) -> None:
    project.write("pyproject.toml", PYPROJECT + 'DJANGO_SETTINGS_MODULE = "settings"\n')
    project.write("settings.py", SETTINGS)
    project.write("test_it.py", DJANGO_TESTS.replace("my_shop", "shop"))
    project.write(".env", HOSTILE)
    done = run_tests(project, DATABASE_URL=running.url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (project.root / f"noted-test_shop-{running.port}").exists()


def test_failure_is_one_line(project: Project) -> None:
    project.write("test_it.py", NOTE)
    done = run_tests(project, DEVDB_BINARIES="/no/such/directory")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    lines = [line for line in done.stderr.splitlines() if line]
    assert len(lines) == 1
    assert "devdb: DEVDB_BINARIES=/no/such/directory has no" in lines[0]


def test_broken_settings_stop_the_server(project: Project) -> None:
    project.write("pyproject.toml", PYPROJECT + 'DJANGO_SETTINGS_MODULE = "settings"\n')
    note = "import os, pathlib\npathlib.Path('noted').write_text(os.environ['DATABASE_URL'])\n"
    project.write("settings.py", note + "1 / 0\n")
    project.write("test_it.py", NOTE)
    assert run_tests(project).returncode != 0
    assert_stopped(noted(project)[0])


def test_sigterm_stops_the_server(project: Project) -> None:
    project.write("test_it.py", NOTE + "    __import__('time').sleep(90)\n")
    process = project.start(*OPTIONS, module="pytest")
    wait_for(lambda: len(noted(project)) == 4 or process.poll() is not None, "the test")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=TIMEOUT)
    assert process.returncode == pytest.ExitCode.INTERRUPTED
    assert_stopped(noted(project)[0])


def test_help_starts_no_server(project: Project) -> None:
    done = run_tests(project, "--help", DEVDB_BINARIES="/no/such/directory")
    assert done.returncode == 0, done.stderr


def test_environment_is_restored(project: Project) -> None:
    project.write("test_it.py", NOTE)
    code = (
        "import os, pytest\n"
        "for _ in range(2):\n"
        f"    assert pytest.main({[*OPTIONS]!r}) == 0\n"
        "    assert not {'DATABASE_URL', 'ENV_FILE', 'DEBUG', 'SECRET_KEY'} & set(os.environ)\n"
    )
    project.write("twice.py", code)
    done = project.run(module="twice")
    assert done.returncode == 0, done.stdout + done.stderr
