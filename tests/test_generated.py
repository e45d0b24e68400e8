"""Each generated project is installed and passes its own suite, on a real PostgreSQL."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.combinations import DEFAULT, PYTHON, ROOT, SUPPORTED, Combination
from tests.project import LONGEST, Project, interpreters, skip_unless_selected

NOBODY: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": []}


@pytest.mark.parametrize("combination", SUPPORTED, ids=str)
def test_a_generated_project_passes_its_own_suite(
    combination: Combination,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
    request: pytest.FixtureRequest,
) -> None:
    skip_unless_selected(combination, request.config)
    project = Project(tmp_path, combination)
    project.run("uv", "run", "mypy")
    project.run("uv", "run", "pytest", "--junitxml=result.xml")
    record_property("measured", measured(project.directory / "result.xml", str(combination)))


def measured(result: Path, name: str) -> list[tuple[str, ...]]:
    """The rows of the table, one for each kind of client."""
    rows = []
    for case in ElementTree.parse(result).iter("testcase"):  # noqa: S314 - written by the suite
        found = {p.attrib["name"]: p.attrib["value"] for p in case.iter("property")}
        if "peak" in found:
            clients = re.findall(r"\[(.*)\]", case.attrib["name"])[0]
            figures = (found[name] for name in ("requests", "bound", "peak", "opened"))
            rows.append((f"{name}, {clients}", *figures))
    assert len(rows) == 2
    return rows


# The tests that use it run in one process: xdist's groups.
@pytest.fixture(scope="module")
def default(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("default"), DEFAULT)


@pytest.mark.xdist_group("default")
def test_the_suite_passes_on_the_postgresql_from_pypi(default: Project) -> None:
    where = "import devdb; print(devdb.wheel_binaries())"
    binaries = default.run("uv", "run", "python", "-c", where).stdout.strip()
    assert "pgserver" in binaries
    default.run("uv", "run", "pytest", DEVDB_BINARIES=binaries)


@pytest.mark.xdist_group("default")
def test_the_suite_passes_on_a_server_that_is_given(default: Project) -> None:
    default.run("uv", "run", "devdb.py", "run", "uv", "run", "pytest")


def reachable_for_nobody(program: str) -> bool:
    try:
        return subprocess.run([program, "-c", ""], cwd="/", **NOBODY).returncode == 0
    except PermissionError:
        return False


@pytest.mark.xdist_group("default")
def test_the_database_of_tests_needs_no_root(default: Project) -> None:
    if os.geteuid() != 0:
        pytest.skip("this is an ordinary user already: the other tests show it")
    python = next(filter(reachable_for_nobody, interpreters(PYTHON["5.2"])), None)
    if python is None:
        pytest.skip("no Python here can be run by another user")
    copy = Path("/tmp") / f"as-nobody-{os.getpid()}"  # noqa: S108 - must be reachable for nobody
    try:
        shutil.copytree(default.directory, copy, ignore=shutil.ignore_patterns(".venv"))
        subprocess.run(
            ["uv", "sync", "--quiet"],  # noqa: S607
            cwd=copy,
            env=default.environment | {"UV_PYTHON": python},
            check=True,
        )
        done = subprocess.run(
            [copy / ".venv" / "bin" / "python", "-m", "pytest", "tests/test_devdb.py"],
            cwd=copy,
            env={"PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=LONGEST,
            **NOBODY,
        )
    finally:
        shutil.rmtree(copy)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_readmes_first_command_starts_a_service(tmp_path: Path) -> None:
    command = re.findall(r"^\$ (.*)$", (ROOT / "README.md").read_text(), re.MULTILINE)[0]
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)  # noqa: S607
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
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
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/notes/", timeout=5) as got:
                    assert json.load(got) == {"notes": []}
                    break
            except OSError:
                assert service.poll() is None
                assert time.monotonic() < give_up
                time.sleep(0.2)
    finally:
        os.killpg(service.pid, signal.SIGTERM)
        service.wait(60)
