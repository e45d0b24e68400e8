"""The generated project's own settings, with the views that are measured."""

import os

from config.settings import *  # noqa: F403
from config.settings import DATABASES
from config.settings import MIDDLEWARE as GENERATED

ROOT_URLCONF = "measured.urls"
# Its own middleware is measured; Django's would cost all configurations the same.
MIDDLEWARE = [name for name in GENERATED if not name.startswith("django.")]
DATABASES["default"]["CONN_HEALTH_CHECKS"] = os.environ["BENCH_HEALTH_CHECKS"] == "True"
