"""The service's settings with test views. Servers are told apart by their application_name."""

import os

from config.settings import *  # noqa: F403
from config.settings import DATABASES

ROOT_URLCONF = "tests.urls"
DATABASES["default"]["OPTIONS"]["application_name"] += "-" + os.environ.get("PORT", "pytest")
