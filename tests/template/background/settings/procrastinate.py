"""Procrastinate, which keeps its queue in PostgreSQL."""

from tests.settings import *  # noqa: F403 - the project has it
from tests.settings import INSTALLED_APPS

ROOT_URLCONF = "tests.background.urls"
INSTALLED_APPS += ["procrastinate.contrib.django", "tests.background.procrastinate_jobs"]
BACKGROUND_COMMAND = ["procrastinate", "worker"]
