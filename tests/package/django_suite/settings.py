"""The settings for Django's runtests.py, from the variables that run.py sets."""

import os
import sys
from typing import Any
from urllib.parse import unquote, urlsplit

if os.environ["DJANGO_SUITE_DRIVER"] == "psycopg2":
    sys.modules["psycopg"] = None  # type: ignore[assignment]  # Django prefers it

_server = urlsplit(os.environ["DJANGO_SUITE_SERVER"])
_name = os.environ["DJANGO_SUITE_DATABASE"]


def _engine() -> str:
    is_djangos = os.environ["DJANGO_SUITE_MODE"] == "django"
    return "django.db.backends.postgresql" if is_djangos else "connection_slots.backend"


def _database(name: str) -> dict[str, Any]:
    return {
        "ENGINE": _engine(),
        "NAME": name,
        "USER": _server.username,
        "PASSWORD": unquote(_server.password or ""),
        "HOST": _server.hostname,
        "PORT": str(_server.port),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
    }


DATABASES = {"default": _database(_name), "other": _database(f"{_name}_other")}
TEST_RUNNER = "tests.package.django_suite.runner.RecordingRunner"

# The slots of the test process, where it installs any. Django's tests need no more than 3 threads
# with a connection at a time.
DATABASE_SLOTS = 4
DATABASE_SLOT_TIMEOUT = 5.0

# As in the settings that Django's suite comes with.
SECRET_KEY = "for-tests-only"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = False
