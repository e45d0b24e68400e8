"""A project that is broken on purpose fails its own tests, and the message says what is wrong.

Mutants of the packages are tested in tests/package, without a generated project.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from baking.combinations import Combination
from tests.template.conftest import Install

ASGI = Combination("asgi", "psycopg2", "5.2")
GEVENT = Combination("gevent", "psycopg2", "5.2")
GEVENT_3 = Combination("gevent", "psycopg", "5.2")
GTHREAD = Combination("gthread", "psycopg2", "5.2")


@dataclass(frozen=True)
class Mutant:
    """A change of `file`, after which `tests` fail with `message`."""

    name: str
    combination: Combination
    file: str
    old: str  # a regular expression that matches once
    new: str
    tests: str
    message: str

    def __str__(self) -> str:
        return f"{self.name}-{self.combination.worker_class}"


MUTANTS = [
    Mutant(
        "no-psycogreen",
        GEVENT,
        "gunicorn.conf.py",
        r"^    patch_psycopg\(\)",
        "    pass",
        "test_connections.py::test_connections_stay_bounded",
        "psycopg2 blocks the whole worker",
    ),
    Mutant(
        "driver-imported-too-early",
        GEVENT_3,
        "gunicorn.conf.py",
        r"^import os$",
        "import os\nimport psycopg",
        "test_connections.py::test_connections_stay_bounded",
        "psycopg blocks the whole worker",
    ),
    *(
        Mutant(
            "slots-not-installed",
            combination,
            "gunicorn.conf.py",
            r"^    post_worker_init,.*\n",
            "",
            "test_connections.py::test_connections_stay_bounded",
            "gunicorn.conf.py has no post_worker_init",
        )
        for combination in (ASGI, GTHREAD)
    ),
    Mutant(
        "request-not-ended",
        GEVENT,
        "gunicorn.conf.py",
        r"^    post_request,.*\n",
        "",
        "test_connections.py::test_connections_stay_bounded",
        "gunicorn.conf.py has no post_request",
    ),
    Mutant(
        "django-backend",
        GEVENT,
        "config/settings.py",
        r'"ENGINE": "connection_slots\.backend"',
        '"ENGINE": "django.db.backends.postgresql"',
        "test_connections.py::test_connections_stay_bounded",
        "whose connections are not bounded",
    ),
    Mutant(
        "statement-timeout-too-long",
        GTHREAD,
        "config/settings.py",
        r"default=15,",
        "default=40,",
        "test_settings.py::test_time_limits_respect_each_other",
        "FAILED tests/test_settings.py::test_time_limits_respect_each_other",
    ),
    Mutant(
        "misspelt-setting",
        GTHREAD,
        "gunicorn.conf.py",
        r"^graceful_timeout = ",
        "gracefull_timeout = ",
        "test_boot.py::test_configuration_has_only_known_settings",
        "gracefull_timeout",
    ),
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_mutant_fails_its_tests(mutant: Mutant, install: Install, tmp_path: Path) -> None:
    project = install(mutant.combination).copy(tmp_path / "mutant")
    file = project.directory / mutant.file
    broken, changes = re.subn(mutant.old, mutant.new, file.read_text(), flags=re.MULTILINE)
    assert changes == 1
    file.write_text(broken)
    done = project.attempt("uv", "run", "pytest", "-x", "-vv", f"tests/{mutant.tests}")
    assert done.returncode == 1, done.stdout[-4000:]
    assert mutant.message in done.stdout, done.stdout[-4000:]


@pytest.mark.slow
def test_gunicorn_that_loses_requests_fails_the_tests(install: Install, tmp_path: Path) -> None:
    """gunicorn's asgi worker from 25.2 to 26.0: github.com/benoitc/gunicorn/issues/3627"""
    project = install(ASGI).copy(tmp_path / "project")
    # By path: UV_PYTHON would name the interpreter that the environment was made from.
    environment = str(project.directory / ".venv")
    project.run("uv", "pip", "install", "--quiet", "--python", environment, "gunicorn==26.0.0")
    test = "tests/test_connections.py::test_every_request_is_finished"
    done = project.attempt("uv", "run", "--no-sync", "pytest", test)
    assert done.returncode == 1, done.stdout[-4000:]
    assert f"FAILED {test}" in done.stdout, done.stdout[-4000:]
