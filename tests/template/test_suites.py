"""Generated projects pass their own tests, and start as the README says."""

import os
import re
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from baking.combinations import DEFAULT, PROMPTS, PYTHON, ROOT, SELECTED, SUPPORTED, Combination
from baking.interpreters import interpreters
from baking.project import TIMEOUT
from connection_slots.testing.server import free_port
from tests.template.conftest import Install
from tests.template.tools import add_packages, measured

NOBODY: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": []}


@pytest.mark.parametrize("prompt", ["worker_class", "database_driver", "django_version"])
def test_selection_covers_every_choice(prompt: str) -> None:
    assert {each.answers[prompt] for each in SELECTED} == set(PROMPTS[prompt])


def test_selection_covers_every_driver_on_every_django() -> None:
    pairs = {(each.database_driver, each.django_version) for each in SUPPORTED}
    assert {(each.database_driver, each.django_version) for each in SELECTED} == pairs


@pytest.mark.each_bake
def test_project_passes_its_own_tests(
    combination: Combination,
    install: Install,
    record_property: Callable[[str, object], None],
) -> None:
    project = install(combination)
    project.run("uv", "run", "poe", "check", PYTEST_ADDOPTS="--junitxml=result.xml")
    record_property("measured", measured(project.directory / "result.xml", str(combination)))


@pytest.mark.slow
def test_tests_pass_on_postgresql_from_pypi(install: Install) -> None:
    project = install(DEFAULT)
    program = "import devdb; print(devdb.wheel_binaries())"
    binaries = project.run("uv", "run", "python", "-c", program).stdout.strip()
    assert "pgserver" in binaries
    project.run("uv", "run", "pytest", "tests/test_connections.py", DEVDB_BINARIES=binaries)


def test_tests_pass_on_a_given_server(install: Install) -> None:
    tests = ["tests/test_notes.py", "tests/test_settings.py"]
    install(DEFAULT).run("uv", "run", "devdb", "run", "uv", "run", "pytest", *tests)


def test_tests_ignore_the_env_file(install: Install, tmp_path: Path) -> None:
    project = install(DEFAULT).copy(tmp_path / "project")
    (project.directory / ".env").write_text(
        "DATABASE_URL=postgresql://nobody:wrong@127.0.0.1:1/nowhere\nDATABASE_SLOTS=0\nDEBUG=maybe\n"
    )
    project.run("uv", "run", "pytest", "tests/test_notes.py", "tests/test_settings.py")


@pytest.mark.slow
@pytest.mark.parametrize("worker_class", ["gthread", "gevent"])
def test_second_driver_changes_nothing(worker_class: str, install: Install, tmp_path: Path) -> None:
    """A dependency may bring psycopg 3, which Django prefers, into a project with psycopg2."""
    sound = install(Combination(worker_class, "psycopg2", "5.2"))
    project = sound.copy(tmp_path / "project")
    add_packages(project, "psycopg[binary]")
    tests = ["tests/test_connections.py", "-k", "bounded or clean"]
    project.run("uv", "run", "--no-sync", "pytest", *tests)


def test_second_driver_is_refused_with_eventlet(install: Install, tmp_path: Path) -> None:
    """psycopg 3 would block the whole worker."""
    project = install(Combination("eventlet", "psycopg2", "5.2")).copy(tmp_path / "project")
    add_packages(project, "psycopg[binary]")
    done = project.attempt(
        "uv", "run", "--no-sync", "devdb", "run", "gunicorn", PORT=str(free_port())
    )
    assert done.returncode != 0
    assert "psycopg 3 does not support eventlet" in done.stdout + done.stderr


def test_tests_pass_without_root(install: Install) -> None:
    if os.geteuid() != 0:
        pytest.skip("this is an ordinary user: the other tests show it")
    python = next(filter(can_be_run_by_nobody, interpreters(PYTHON["5.2"])), None)
    if python is None:
        pytest.skip("no Python here can be run by another user")
    project = install(DEFAULT)
    # pytest's temporary directories are closed to other users.
    copy = Path("/tmp") / f"as-nobody-{os.getpid()}"  # noqa: S108
    try:
        ignored = shutil.ignore_patterns(".venv", "staticfiles")
        shutil.copytree(project.directory, copy, ignore=ignored)
        subprocess.run(
            ["uv", "sync", "--quiet"],  # noqa: S607
            cwd=copy,
            env=project.environment | {"UV_PYTHON": python},
            check=True,
        )
        # The service's static files are collected into its directory, as its owner does.
        subprocess.run(["chown", "--recursive", "nobody:nogroup", copy], check=True)  # noqa: S607
        done = subprocess.run(
            [copy / ".venv" / "bin" / "python", "-m", "pytest", "tests/test_notes.py"],
            cwd=copy,
            env={"PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            **NOBODY,
        )
    finally:
        shutil.rmtree(copy, ignore_errors=True)
    assert done.returncode == 0, done.stdout + done.stderr


def can_be_run_by_nobody(python: str) -> bool:
    """Return True if another user may run the interpreter at this path."""
    try:
        return subprocess.run([python, "-c", ""], cwd="/", **NOBODY).returncode == 0
    except PermissionError:
        return False


def test_readme_command_starts_a_service(tmp_path: Path) -> None:
    command = re.findall(r"^\$ (.*)$", (ROOT / "README.md").read_text(), re.MULTILINE)[0]
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)  # noqa: S607
    port = free_port()
    environment = os.environ | {"PORT": str(port), "UV_PYTHON_DOWNLOADS": "never"}
    environment.pop("VIRTUAL_ENV", None)
    service = subprocess.Popen(
        ["bash", "-c", command],  # noqa: S607
        cwd=clone,
        env=environment,
        start_new_session=True,
    )
    try:
        give_up = time.monotonic() + 240
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as got:
                    assert "<h1>My Service</h1>" in got.read().decode()
                    break
            except OSError:
                assert service.poll() is None
                assert time.monotonic() < give_up
                time.sleep(0.2)
    finally:
        os.killpg(service.pid, signal.SIGTERM)
        service.wait(60)
