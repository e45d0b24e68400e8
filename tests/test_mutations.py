"""Generated projects, broken on purpose: their own tests fail, and say what is wrong."""

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.combinations import Combination
from tests.project import Project

GEVENT = Combination("gevent", "psycopg2", "5.2")
GEVENT_3 = Combination("gevent", "psycopg", "5.2")
ASGI = Combination("asgi", "psycopg2", "5.2")
GTHREAD = Combination("gthread", "psycopg2", "5.2")


@dataclass(frozen=True)
class Mutation:
    """`old` becomes `new` in `file`; then `tests` fail with `message`."""

    name: str
    combination: Combination
    file: str
    old: str
    new: str
    tests: str
    message: str
    also: tuple[str, str] | None = None  # a second change in the same file

    def __str__(self) -> str:
        return f"{self.name} ({self.combination.worker_class})"


LENDING_LINE = r"\nslots\.install\(\)\n"
MUTATIONS = [
    Mutation(
        "no psycogreen hook",
        GEVENT,
        "gunicorn.conf.py",
        r"    patch_psycopg\(\)",
        "    pass",
        "test_connections.py",
        "psycopg2 blocks the whole worker",
    ),
    Mutation(
        "psycopg imported before the monkey-patching",
        GEVENT_3,
        "gunicorn.conf.py",
        r"^import os$",
        "import os\nimport psycopg",
        "test_connections.py",
        "psycopg blocks the whole worker",
    ),
    Mutation(
        "slots not installed",
        GEVENT,
        "config/wsgi.py",
        LENDING_LINE,
        "\n",
        "test_connections.py",
        "connections are not lent: they would pile up",
    ),
    Mutation(
        "slots not installed",
        ASGI,
        "config/asgi.py",
        LENDING_LINE,
        "\n",
        "test_checks.py",
        "database.E001",
    ),
    *(
        Mutation(
            "health check off",
            combination,
            "config/settings.py",
            r'"CONN_HEALTH_CHECKS": True',
            '"CONN_HEALTH_CHECKS": False',
            "test_connections.py",
            "test_connections_ended_by_the_server_cost_no_request",
        )
        for combination in (GEVENT, ASGI, GTHREAD)
    ),
    *(
        Mutation(
            "slot counted after the connect",
            combination,
            "database/slots.py",
            r"        if not self\._waiters:\n",
            "        if len(self._made) < self.size:\n"
            "            import time\n"
            "            time.sleep(0.01)\n"
            "            self._made.append(slot := {})\n"
            "            return slot\n"
            "        if not self._waiters:\n",
            "test_slots.py",
            "test_no_more_slots_are_lent_than_there_are",
            also=(
                r"        self\._lock = ",
                "        self._made: list[Slot] = []\n        self._lock = ",
            ),
        )
        for combination in (GEVENT, ASGI)
    ),
    Mutation(
        "slot not returned on an aborted stream",
        GEVENT,
        "database/slots.py",
        r"        del self\.leases\.current\n",
        "        import sys\n"
        "        if sys.exc_info()[0]:\n"
        "            return\n"
        "        del self.leases.current\n",
        "test_connections.py::test_clients_that_hang_up_cost_no_slot",
        "during a stream",
        also=(r"        self\.end\(orderly=False\)\n", "        pass\n"),
    ),
    Mutation(
        "clean-up cancelled with the request",
        ASGI,
        "database/threads.py",
        r"thread\.submit\(thread\.finish\)\.add_done_callback\(lambda _: self\._keep\(thread\)\)",
        "self._keep(thread)",
        "test_requests.py",
        "test_a_request_that_gunicorn_cancels_costs_no_slot",
    ),
    Mutation(
        "a wrong name in gunicorn.conf.py",
        GTHREAD,
        "gunicorn.conf.py",
        r"^accesslog = ",
        "access_logfile = ",
        "test_gunicorn_conf.py",
        "access_logfile",
    ),
    Mutation(
        "connections left in a transaction are lent",
        GTHREAD,
        "database/backend/base.py",
        r"connection\.get_transaction_status\(\) != IDLE",
        "False",
        "test_connections.py",
        "test_what_a_request_leaves_is_never_seen_by_the_next[open-transaction]",
    ),
]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Combination], Project]:
    """Each combination is installed once; its mutants use that environment."""
    projects: dict[Combination, Project] = {}

    def install(combination: Combination) -> Project:
        if combination not in projects:
            projects[combination] = Project(tmp_path_factory.mktemp("sound"), combination)
        return projects[combination]

    return install


@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
def test_a_broken_project_fails_its_tests(
    mutation: Mutation, installed: Callable[[Combination], Project], tmp_path: Path
) -> None:
    project = installed(mutation.combination)
    mutant = tmp_path / "mutant"
    shutil.copytree(project.directory, mutant, ignore=shutil.ignore_patterns(".venv"))
    file = mutant / mutation.file
    for old, new in filter(None, [(mutation.old, mutation.new), mutation.also]):
        broken, changes = re.subn(old, new, file.read_text(), flags=re.MULTILINE)
        assert changes == 1
        file.write_text(broken)
    python = str(project.directory / ".venv" / "bin" / "python")
    done = project.attempt(
        python, "-m", "pytest", "-x", "-vv", f"tests/{mutation.tests}", directory=mutant
    )
    assert done.returncode == 1, done.stdout[-4000:]
    assert mutation.message in done.stdout, done.stdout[-4000:]


@pytest.mark.parametrize("release", ["25.3.0", "26.0.0"])
def test_a_gunicorn_that_does_not_finish_requests_fails_the_tests(
    release: str, tmp_path: Path
) -> None:
    """gunicorn's asgi worker from 25.2 to 26.0: github.com/benoitc/gunicorn/issues/3627"""
    project = Project(tmp_path, ASGI)
    # By path: UV_PYTHON would name the interpreter that the environment was made from.
    environment = str(project.directory / ".venv")
    project.run("uv", "pip", "install", "--quiet", "--python", environment, f"gunicorn=={release}")
    done = project.attempt("uv", "run", "--no-sync", "pytest", "-vv", "tests/test_requests.py")
    assert done.returncode == 1, done.stdout[-4000:]
    assert "test_every_request_that_starts_is_finished" in done.stdout
    assert "gunicorn" in done.stdout
