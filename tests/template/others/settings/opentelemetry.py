"""OpenTelemetry's instrumentation of Django and of the driver, each with comments in the SQL."""

from tests.settings import *  # noqa: F403 - the project has it
from tests.settings import INSTALLED_APPS

ROOT_URLCONF = "tests.others.urls"
INSTALLED_APPS += ["tests.others.tracing.Tracing"]
