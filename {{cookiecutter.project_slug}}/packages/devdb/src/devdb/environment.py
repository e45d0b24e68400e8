"""The environment of a development machine: .env, DATABASE_URL and what is unset."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from dotenv import dotenv_values

from devdb.cluster import Cluster
from devdb.errors import DevdbError
from devdb.project import Project, find_project


@contextlib.contextmanager
def database(*, throw_away: bool = False, project: Project | None = None) -> Iterator[str]:
    """Yield a DATABASE_URL: that of the environment, or of a server that runs as long.

    The server keeps the data of `project` in .devdb, or nothing where it is a `throw_away` one.
    The project is that of the current directory where none is given.
    """
    if given := os.environ.get("DATABASE_URL"):
        yield given
        return
    project = project or find_project(Path.cwd())
    with contextlib.ExitStack() as stack:
        directory = project.directory
        if throw_away:
            temporary = tempfile.TemporaryDirectory(prefix="devdb-", ignore_cleanup_errors=True)
            directory = Path(stack.enter_context(temporary))
        cluster = Cluster(directory, name=project.name, throw_away=throw_away)
        yield stack.enter_context(cluster).url


def read_env_file(root: Path) -> None:
    """Add the variables of the file that ENV_FILE names (default: .env in `root`; empty: none).

    The project's settings read the same file. The real environment wins, here as there.
    """
    named = os.environ.get("ENV_FILE", ".env")
    if not named:
        return
    path = root / named
    if path.is_file():
        for name, value in dotenv_values(path).items():
            if value is not None:
                os.environ.setdefault(name, value)
    elif "ENV_FILE" in os.environ:
        raise DevdbError(f"ENV_FILE={named}: there is no such file.")


def set_environment(database_url: str) -> None:
    """Set DATABASE_URL, and DEBUG and SECRET_KEY for development where they are unset."""
    os.environ.update(development(database_url))


def development(database_url: str) -> dict[str, str]:
    """Return DATABASE_URL, and those variables of a development machine that are unset."""
    defaults = {"DEBUG": "true", "SECRET_KEY": "for-development-only-" + "0" * 30}
    unset = {name: value for name, value in defaults.items() if name not in os.environ}
    return {"DATABASE_URL": database_url} | unset
