"""Read the project's gunicorn.conf.py, and write broken ones."""

from pathlib import Path
from types import ModuleType

from django.conf import settings
from django.db.backends.postgresql.psycopg_any import is_psycopg3
from gunicorn.config import KNOWN_SETTINGS

DRIVER = "psycopg" if is_psycopg3 else "psycopg2"

# psycopg chooses how it waits when it is imported, and psycopg2 has a callback for it.
_BLOCKS_BEFORE = "import psycopg\n"
_BLOCKS_AFTER = """

def post_fork(server, worker):
    from psycopg2.extensions import set_wait_callback

    set_wait_callback(None)
"""


def configuration() -> Path:
    """Return the path of gunicorn.conf.py."""
    return Path(settings.BASE_DIR) / "gunicorn.conf.py"


def unknown_settings() -> set[str]:
    """Return the names in gunicorn.conf.py that gunicorn ignores, such as a misspelt setting.

    Names that begin with an underscore, and what is imported, are not meant for gunicorn.
    """
    names: dict[str, object] = {"__file__": str(configuration())}
    exec(configuration().read_text(), names)  # noqa: S102
    own = {
        name
        for name, value in names.items()
        if not name.startswith("_")
        and not isinstance(value, ModuleType | type)
        and getattr(value, "__globals__", names) is names  # not an imported function
    }
    return own - {setting.name for setting in KNOWN_SETTINGS}


def blocking_configuration(directory: Path) -> Path:
    """Write a copy of gunicorn.conf.py with which the driver blocks greenlets. Return its path."""
    text, path = configuration().read_text(), directory / "gunicorn.conf.py"
    path.write_text(_BLOCKS_BEFORE + text if is_psycopg3 else text + _BLOCKS_AFTER)
    return path
