"""The property test of the lending (tests/lending), with threads and with greenlets."""

import shutil
from pathlib import Path

import pytest

from tests.combinations import ROOT, Combination
from tests.project import Project

# How the tests are run where threads have to be greenlets before anything is imported.
PATCHED = {
    "asgi": "",
    "gevent": "from gevent import monkey; monkey.patch_all(); ",
    "eventlet": "import eventlet; eventlet.monkey_patch(); ",
}


@pytest.mark.parametrize("worker_class", PATCHED)
def test_the_lending_survives_random_interleavings(worker_class: str, tmp_path: Path) -> None:
    project = Project(tmp_path, Combination(worker_class, "psycopg2", "5.2"))
    shutil.copytree(ROOT / "tests" / "lending", project.directory / "tests" / "lending")
    program = f"{PATCHED[worker_class]}import sys, pytest; sys.exit(pytest.main(sys.argv[1:]))"
    project.run("uv", "run", "--with", "hypothesis", "python", "-c", program, "tests/lending", "-q")
