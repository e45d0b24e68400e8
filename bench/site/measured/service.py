"""The generated project's own settings, with the views that are measured."""

import os

from config.settings import *  # noqa: F403
from config.settings import DATABASES

ROOT_URLCONF = "measured.urls"
if os.environ.get("BENCH_HEALTH_CHECKS") == "false":
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = False
