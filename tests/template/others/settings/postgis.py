"""PostGIS, with a backend of the project's own."""

from tests.settings import *  # noqa: F403 - the project has it
from tests.settings import DATABASES, INSTALLED_APPS

ROOT_URLCONF = "tests.others.urls"
INSTALLED_APPS += ["django.contrib.gis", "tests.others.places"]
DATABASES["default"]["ENGINE"] = "tests.others.postgis"
