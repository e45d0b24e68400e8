"""`--django` takes what Django and gunicorn come to, and survives projects that misbehave."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from doctor_helpers import Check, Write
from gunicorn_doctor.cli import main

# The age is one that the source does not tell, and the class depends on the environment.
PROJECT: dict[str, str | None] = {
    "manage.py": 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")\n',
    "config/__init__.py": "",
    "config/settings.py": """
        import sys

        import dj_secret

        print("settings print", file=sys.stderr)
        DATABASES = {
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": "service",
                "HOST": "db",
                "PASSWORD": "secret",
                "CONN_MAX_AGE": dj_secret.age(),
                "OPTIONS": {"connect_timeout": 3, "options": "-c statement_timeout=15s"},
            }
        }
        SECRET_KEY = "x"
    """,
    "dj_secret.py": "def age():\n    return 60\n",
    "gunicorn.conf.py": """
        import os

        print("configuration prints")
        worker_class = os.environ["CLASS"]
        workers = 2
    """,
    "Procfile": "web: gunicorn config.wsgi --bind 0.0.0.0:$PORT\n",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set what the project needs, and nothing of the caller."""
    monkeypatch.setenv("CLASS", "gthread")
    for name in ("DJANGO_SETTINGS_MODULE", "GUNICORN_CMD_ARGS", "WEB_CONCURRENCY", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)


def test_source_alone_does_not_tell(write: Write, check: Check) -> None:
    answer = check(write(PROJECT))
    assert answer.rules == {"DG000"}


def test_effective_values_are_judged(
    write: Write, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write(PROJECT)
    assert check(root, "--django").data["findings"] == []
    monkeypatch.setenv("CLASS", "asgi")
    answer = check(root, "--django")
    assert answer.rules == {"DG001"}
    assert answer.places("DG001") == ["config/settings.py:12"]
    assert answer.data["servers"][0]["worker_class"] == "asgi"


def test_command_line_variable_of_gunicorn_counts(
    write: Write, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GUNICORN_CMD_ARGS", "--worker-class asgi --preload")
    assert "DG001" in check(write(PROJECT), "--django").rules


def test_installed_releases_count(
    write: Write, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {**PROJECT, "requirements.txt": "gunicorn==25.3.0\n"}
    monkeypatch.setenv("CLASS", "asgi")
    assert "DG007" not in check(write(files), "--django").rules


def test_given_settings_beat_those_of_the_environment(
    write: Write, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = "from config.settings import *\nDATABASES['default']['OPTIONS'] = {}\n"
    root = write({**PROJECT, "config/other.py": other})
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "config.other")
    assert check(root, "--django").rules == {"DG010", "DG011"}
    assert check(root, "--django", "--settings", "config.settings").rules == set()


def test_defaults_of_django_count(write: Write, check: Check) -> None:
    settings = "SECRET_KEY = 'x'\nfrom os import environ as DATABASES_OF\n"
    settings += "globals()['DATA' + 'BASES'] = {'default': {'ENGINE': "
    settings += "'django.db.backends.postgresql', 'NAME': 'x', 'HOST': 'db'}}\n"
    answer = check(write({**PROJECT, "config/settings.py": settings}), "--django")
    assert answer.rules == {"DG010", "DG011"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("raise ValueError('no such thing')", "ValueError: no such thing"),
        ("raise ValueError('no such\\nthing')", "ValueError: no such thing"),
        ("import no_such_module", "No module named 'no_such_module'"),
        ("raise SystemExit('stopped by itself')", "stopped by itself"),
        ("import os; os._exit(3)", "exit code 3"),
    ],
)
def test_broken_project_is_one_line(
    line: str, message: str, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write({**PROJECT, "dj_secret.py": f"{line}\n"})
    assert main(["check", str(root), "--django"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert message in captured.err


def test_hanging_project_is_ended_with_its_children(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    note = tmp_path / "pid"
    hang = f"""
        import subprocess, sys, time
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        open({str(note)!r}, "w").write(str(child.pid))
        time.sleep(600)
    """
    root = write({**PROJECT, "dj_secret.py": hang})
    assert main(["check", str(root), "--django", "--timeout", "10"]) == 2
    assert "took longer than 10 s" in capsys.readouterr().err
    assert gone(int(note.read_text()))


def gone(pid: int) -> bool:
    """Return True once no process has this id any more, or only a zombie."""
    for _ in range(100):
        try:
            os.kill(pid, signal.SIGCONT)
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except (ProcessLookupError, FileNotFoundError):
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


def test_missing_python_is_one_line(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(write(PROJECT)), "--django", "--python", "/no/python"]) == 2
    assert "--python /no/python: no such program" in capsys.readouterr().err


def test_configuration_that_gunicorn_refuses_is_not_understood(write: Write, check: Check) -> None:
    files = {**PROJECT, "gunicorn.conf.py": "workers = 'many'\n"}
    answer = check(write(files), "--django")
    (message,) = answer.messages("DG000")
    assert "invalid literal for int()" in message


def test_arguments_that_an_image_sets_count(write: Write, check: Check) -> None:
    image = 'FROM x\nENV GUNICORN_CMD_ARGS="-k asgi"\nCMD gunicorn config.asgi\n'
    files = {**PROJECT, "Procfile": None, "Dockerfile": image}
    assert "DG001" in check(write(files), "--django").rules


@pytest.mark.parametrize("given", ["-1", "0", "nan", "inf", "x"])
def test_timeout_is_positive(given: str, write: Write) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["check", str(write()), "--django", "--timeout", given])


def test_importing_changes_nothing_on_disk(write: Write, check: Check) -> None:
    root = write(PROJECT)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    check(root, "--django")
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_unreachable_server_is_one_line(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    settings = str(PROJECT["config/settings.py"]).replace(
        '"HOST": "db",', '"HOST": "127.0.0.1", "PORT": "1",'
    )
    root = write({**PROJECT, "config/settings.py": settings})
    assert main(["check", str(root), "--database"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Give a real PostgreSQL, or skip where this environment has none."""
    devdb = pytest.importorskip("devdb", reason="devdb is installed with the template's tests")
    try:
        with devdb.database(throw_away=True) as found:
            yield found
    except devdb.DevdbError as error:
        pytest.skip(f"no PostgreSQL: {error}")


SERVER: dict[str, str | None] = {
    **PROJECT,
    "config/settings.py": """
        import os
        from urllib.parse import urlsplit

        url = urlsplit(os.environ["URL"])
        DATABASES = {
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": url.path[1:],
                "USER": url.username,
                "PASSWORD": url.password,
                "HOST": url.hostname,
                "PORT": url.port,
                "CONN_MAX_AGE": 60,
                "OPTIONS": {"connect_timeout": 3, "options": "-c statement_timeout=15s"},
            }
        }
        SECRET_KEY = "x"
    """,
    "gunicorn.conf.py": "import os\nworkers = int(os.environ['WORKERS'])\n",
}


def test_server_is_asked_for_its_limits(
    write: Write, check: Check, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("URL", url)
    root = write(SERVER)
    monkeypatch.setenv("WORKERS", "2")
    assert check(root, "--database").data["findings"] == []
    monkeypatch.setenv("WORKERS", "5000")
    (message,) = check(root, "--database").messages("DG013")
    assert "1 replicas x 5000 workers x 1 connections = 5000" in message
    assert "as the server says" in message


def test_limit_of_the_role_counts(
    write: Write, check: Check, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    psycopg = pytest.importorskip("psycopg")
    name = url.rpartition("/")[2]
    with psycopg.connect(url, autocommit=True) as connection:
        try:
            connection.execute(f'ALTER DATABASE "{name}" CONNECTION LIMIT 7')
        except psycopg.Error as error:
            pytest.skip(f"this role may not set a limit: {error}")
    monkeypatch.setenv("URL", url)
    monkeypatch.setenv("WORKERS", "8")
    (message,) = check(write(SERVER), "--database").messages("DG013")
    assert "has 7 (as the server says" in message


def test_another_python_is_used(
    write: Write, tmp_path: Path, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    note, wrapper = tmp_path / "ran", tmp_path / "python"
    wrapper.write_text(f'#!/bin/sh\ntouch "{note}"\nexec "{sys.executable}" "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    check(write(PROJECT), "--django", "--python", "./python")
    assert note.exists()
