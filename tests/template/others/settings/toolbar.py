"""django-debug-toolbar, shown to every client."""

from typing import Any

from tests.settings import *  # noqa: F403 - the project has it
from tests.settings import INSTALLED_APPS, MIDDLEWARE

ROOT_URLCONF = "tests.others.urls"
INSTALLED_APPS += ["debug_toolbar"]
MIDDLEWARE.insert(0, "debug_toolbar.middleware.DebugToolbarMiddleware")


def show_toolbar(request: Any) -> bool:
    """Show it although DEBUG is off."""
    return True


DEBUG_TOOLBAR_CONFIG = {
    "IS_RUNNING_TESTS": False,
    "SHOW_TOOLBAR_CALLBACK": show_toolbar,
}
