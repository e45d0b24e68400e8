"""Django's own tasks, with the backend that stores them through the ORM."""

from tests.settings import *  # noqa: F403 - the project has it
from tests.settings import INSTALLED_APPS

ROOT_URLCONF = "tests.background.urls"
INSTALLED_APPS += ["django_tasks_db", "tests.background.django_jobs"]
TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}
BACKGROUND_COMMAND = ["db_worker", "--interval", "0.1"]
