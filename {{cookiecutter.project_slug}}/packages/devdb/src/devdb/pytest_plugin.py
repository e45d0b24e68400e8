"""Give the tests a real PostgreSQL: that of DATABASE_URL, or a throw-away one.

Wired with `addopts = "-p devdb.pytest_plugin"`. It is loaded that way and not as an entry point,
so that it does nothing in projects that do not name it.
"""

import os
import signal
import threading
from collections.abc import Generator
from contextlib import ExitStack

import pytest

from devdb.environment import database, development
from devdb.errors import DevdbError
from devdb.project import find_project

_source = pytest.StashKey[str]()


# A wrapper, because it runs before every other implementation: pytest-django's reads the settings.
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config,
) -> Generator[None, object, object]:
    """Start the server and set the environment, until pytest ends."""
    options = early_config.known_args_namespace
    if not (options.help or options.version):
        resources = ExitStack()
        early_config.add_cleanup(resources.close)
        _prepare(early_config, resources)
    return (yield)


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say which server the tests use."""
    return config.stash.get(_source, None)


def _prepare(config: pytest.Config, resources: ExitStack) -> None:
    """Set the environment. xdist's workers inherit that of their controller, with its server."""
    given = os.environ.get("DATABASE_URL")
    config.stash[_source] = f"database: {'DATABASE_URL' if given else 'throw-away, by devdb'}"
    patch = resources.enter_context(pytest.MonkeyPatch.context())
    patch.setenv("ENV_FILE", "")  # a developer's .env never changes the tests
    if not given:
        _stop_on_sigterm(resources)
    try:
        project = None if given else find_project(config.rootpath)
        url = resources.enter_context(database(throw_away=True, project=project))
    except (DevdbError, OSError) as error:
        raise pytest.UsageError(f"devdb: {error}") from error
    for name, value in development(url).items():
        patch.setenv(name, value)


def _stop_on_sigterm(resources: ExitStack) -> None:
    """Let SIGTERM end pytest as Ctrl-C does, so that no server is left behind."""
    if threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        resources.callback(signal.signal, signal.SIGTERM, signal.SIG_DFL)
