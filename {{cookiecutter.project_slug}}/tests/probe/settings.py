"""The project's settings, with the probe's views in addition."""

from config.settings import *  # noqa: F403

ROOT_URLCONF = "tests.probe.urls"
