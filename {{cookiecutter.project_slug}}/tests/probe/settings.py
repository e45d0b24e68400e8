"""The project's settings, with the probe's views and a name that tells servers apart."""

import os

from config.settings import *  # noqa: F403
from config.settings import DATABASES

ROOT_URLCONF = "tests.probe.urls"
DATABASES["default"]["OPTIONS"]["application_name"] += "-" + os.environ["PORT"]
