"""Django REST framework, with sessions as it has them by default."""

from tests.settings import *  # noqa: F403 - the project has it
from tests.settings import INSTALLED_APPS

ROOT_URLCONF = "tests.others.urls"
INSTALLED_APPS += ["rest_framework"]
