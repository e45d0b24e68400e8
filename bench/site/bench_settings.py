"""The generated project's settings, with the application under load and a peer's connections."""

import json
import os

from config.settings import *  # noqa: F403
from config.settings import DATABASES, INSTALLED_APPS, MIDDLEWARE

INSTALLED_APPS = [*INSTALLED_APPS, "loads"]
ROOT_URLCONF = "loads.urls"
SECURE_SSL_REDIRECT = False  # the load generator speaks HTTP, and no proxy is in between

if peer := json.loads(os.environ["BENCH_DATABASE"]):
    ADDRESS = {
        key: DATABASES["default"][key] for key in ("NAME", "USER", "PASSWORD", "HOST", "PORT")
    }
    DATABASES = {"default": ADDRESS | peer}
    INSTALLED_APPS.remove("connection_slots")
    MIDDLEWARE = [name for name in MIDDLEWARE if not name.startswith("connection_slots.")]
