"""A process on greenlets warns at start if its driver blocks them, as `celery -P gevent` does."""

import subprocess
import sys

import pytest

PATCH = {
    "gevent": "from gevent import monkey; monkey.patch_all()",
    "eventlet": "import eventlet; eventlet.monkey_patch()",
}
PSYCOPG2 = "import sys; sys.modules['psycopg'] = None"  # Django prefers psycopg 3
PSYCOGREEN = "from psycogreen.{} import patch_psycopg; patch_psycopg()"
PSYCOPG = "import psycopg"
START = """
import logging
import django
from django.conf import settings

logging.basicConfig(format="%(name)s %(levelname)s %(message)s")
settings.configure(
    INSTALLED_APPS=["connection_slots"],
    DATABASES={"default": {"ENGINE": "connection_slots.backend", "NAME": "none"}},
)
django.setup()
"""


def warnings_at_start(*steps: str) -> list[str]:
    """Run `steps` in a new process, start Django there, and return the lines that it logs."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", "\n".join([*steps, START])],
        capture_output=True,
        text=True,
        check=True,
    )
    return [line for line in done.stderr.splitlines() if line.startswith("connection_slots ")]


@pytest.mark.parametrize(
    ("library", "patch"),
    [
        ("gevent", PATCH["gevent"]),
        ("eventlet", PATCH["eventlet"].replace("()", "(psycopg=False)")),  # it patches psycopg2
    ],
)
def test_psycopg2_without_psycogreen_is_warned_of(library: str, patch: str) -> None:
    (line,) = warnings_at_start(patch, PSYCOPG2)
    assert line.startswith("connection_slots WARNING psycopg2 blocks all greenlets ")
    assert f"psycogreen.{library}.patch_psycopg() before Django starts" in line


def test_psycopg_before_the_patching_is_warned_of() -> None:
    (line,) = warnings_at_start(PSYCOPG, PATCH["gevent"])
    assert line.startswith("connection_slots WARNING psycopg blocks all greenlets ")
    assert "import psycopg after gevent's monkey-patching" in line


def test_psycopg_with_eventlet_is_warned_of() -> None:
    (line,) = warnings_at_start(PATCH["eventlet"])
    assert "use psycopg2" in line


@pytest.mark.parametrize(
    "steps",
    [
        (PATCH["gevent"], PSYCOPG2, PSYCOGREEN.format("gevent")),
        (PATCH["eventlet"], PSYCOPG2),
        (PATCH["gevent"], PSYCOPG),
        (PSYCOPG2,),
        (PSYCOPG,),
    ],
    ids=["gevent-psycopg2", "eventlet-psycopg2", "gevent-psycopg", "psycopg2", "psycopg"],
)
def test_driver_that_yields_is_not_warned_of(steps: tuple[str, ...]) -> None:
    assert warnings_at_start(*steps) == []
