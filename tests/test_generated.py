"""Each generated project is installed and passes its own suite, on a real PostgreSQL."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.combinations import DEFAULT, PYTHON, ROOT, SUPPORTED, Combination
from tests.conftest import generate

SUITE = 300  # seconds for a project's suite; it takes less than 60


NOBODY: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": []}


def interpreter(version: str) -> str:
    """A Python of `version` or later, or a skip that says there is none."""
    found = next(interpreters(version), None)
    if found is None:
        pytest.skip(f"no Python {version} or later on this machine")
    return found


def interpreters(version: str) -> Iterator[str]:
    """The Pythons of `version` or later, by full path.

    Version managers put shims on PATH, which answer only for their default.
    """
    wanted = tuple(map(int, version.split(".")))
    managed = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    names = [f"python3.{minor}" for minor in range(wanted[1], wanted[1] + 4)]
    candidates = [sys.executable, *(shutil.which(name) for name in names)]
    candidates += [shutil.which(name, path=os.defpath) for name in names]
    candidates += [str(path) for name in names for path in sorted(managed.glob(f"3.*/bin/{name}"))]
    for candidate in filter(None, candidates):
        say = "import json, sys; print(json.dumps([sys.base_prefix, sys.version_info[:2]]))"
        done = subprocess.run([candidate, "-c", say], capture_output=True, text=True)
        if done.returncode == 0:
            prefix, found = json.loads(done.stdout)
            if tuple(found) >= wanted:
                yield str(Path(prefix, "bin", f"python{found[0]}.{found[1]}"))


def reachable_for_nobody(program: str) -> bool:
    try:
        return subprocess.run([program, "-c", ""], cwd="/", **NOBODY).returncode == 0
    except PermissionError:
        return False


class Project:
    """A generated project in its own environment."""

    def __init__(self, output: Path, combination: Combination) -> None:
        self.directory = generate(output, **combination.answers)
        inherited = ("PATH", "HOME", "LANG", "SSL_CERT_FILE", "UV_CACHE_DIR", "PYENV_ROOT")
        self.environment = {name: os.environ[name] for name in inherited if name in os.environ}
        self.environment |= {
            "UV_PYTHON": interpreter(PYTHON[combination.django_version]),
            "UV_PYTHON_DOWNLOADS": "never",
            # Django's types are the same for all projects of one test process.
            "MYPY_CACHE_DIR": str(output.parent / f"mypy-{combination.django_version}"),
        }
        self.run("uv", "sync", "--quiet")

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command,
            cwd=self.directory,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=SUITE,
        )
        assert done.returncode == 0, (done.stdout + done.stderr)[-8000:]
        return done

    def start(self, *command: str, **environment: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command, cwd=self.directory, env=self.environment | environment, start_new_session=True
        )


@pytest.mark.parametrize("combination", SUPPORTED, ids=str)
def test_a_generated_project_passes_its_own_suite(
    combination: Combination,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
    request: pytest.FixtureRequest,
) -> None:
    if request.config.getoption("--fast") and not is_in_fast_selection(combination):
        pytest.skip("not in the --fast selection")
    project = Project(tmp_path, combination)
    project.run("uv", "run", "mypy")
    project.run("uv", "run", "pytest", "--junitxml=result.xml")
    record_property("measured", measured(project.directory / "result.xml", str(combination)))


def is_in_fast_selection(combination: Combination) -> bool:
    """The first supported project of each worker class."""
    return combination == next(c for c in SUPPORTED if c.worker_class == combination.worker_class)


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
    begin = default.start("uv", "run", "devdb.py", "run", "uv", "run", "pytest")
    assert begin.wait(SUITE) == 0


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
            timeout=SUITE,
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
