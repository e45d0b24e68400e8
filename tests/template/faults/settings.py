"""The settings of the service's tests, with the views of the fault tests."""

from tests.settings import *  # type: ignore[import-not-found]  # noqa: F403 - the project has it

ROOT_URLCONF = "tests.faults.urls"
