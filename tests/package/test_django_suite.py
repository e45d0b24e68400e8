"""Django's own tests have the same results on connection_slots.backend as on Django's backend."""

import subprocess
import sys
from pathlib import Path

import pytest

from baking.combinations import ROOT

# One of the two runs with slots is in the gate: they cover nearly the same. Without slots the
# backend differs little from Django's.
FEWER = ["--labels", "backends", "test_utils", "transaction_hooks", "transactions"]

TIMEOUT = 900  # seconds; it takes about one minute where nothing else runs


@pytest.fixture(scope="module")
def baselines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory for the results of Django's backend: one run of it serves two tests."""
    return tmp_path_factory.mktemp("baselines")


@pytest.mark.parametrize(
    ("driver", "arguments"),
    [
        pytest.param(
            driver,
            arguments,
            id=f"{driver}{mode}",
            marks=[pytest.mark.xdist_group(f"django-suite-{driver}"), *marks],
        )
        for driver, mode, arguments, marks in [
            ("psycopg", "--switch", ["--switch"], [pytest.mark.slow]),
            ("psycopg", "", FEWER, [pytest.mark.slow]),
            ("psycopg2", "--slots", ["--slots"], []),
            ("psycopg2", "", FEWER, [pytest.mark.slow]),
        ]
    ],
)
def test_django_suite_passes(driver: str, arguments: list[str], baselines: Path) -> None:
    command = [sys.executable, "-m", "tests.package.django_suite", "--driver", driver]
    command += ["--baseline", str(baselines / driver), *arguments]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            said, _ = process.communicate(timeout=TIMEOUT)
        finally:
            process.terminate()  # it stops its server; no effect after its end
    assert process.returncode == 0, said
