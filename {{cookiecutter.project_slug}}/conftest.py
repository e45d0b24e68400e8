"""Tests use a real PostgreSQL: that of DATABASE_URL, or a throw-away one (devdb.py)."""

import os
from contextlib import ExitStack

import django

import devdb

_resources = ExitStack()

# At import and not in a fixture, because pytest-django reads the settings before any fixture runs.
devdb.development(_resources.enter_context(devdb.database(throw_away=True)))
os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
django.setup()


def pytest_unconfigure() -> None:
    _resources.close()
