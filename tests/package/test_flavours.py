"""The tests of connection_slots in each flavour: how threads are implemented, and the driver."""

import subprocess
import sys

import pytest

from baking.combinations import ROOT
from tests.package.flavour import FLAVOURS

TIMEOUT = 600  # seconds


# What is special to these, own tests of a generated project show too.
SLOW = [("gevent", "psycopg"), ("eventlet", "psycopg2")]


@pytest.mark.parametrize(
    ("threads", "driver"),
    [
        pytest.param(*each, marks=[pytest.mark.slow] if each in SLOW else [], id="-".join(each))
        for each in FLAVOURS
    ],
)
def test_flavour_passes(threads: str, driver: str) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.package.flavour",
            threads,
            driver,
            "-q",
            "tests/package/slots",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
