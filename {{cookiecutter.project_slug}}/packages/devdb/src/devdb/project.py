"""Find the project, whose name the role and the database get."""

import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devdb.errors import DevdbError

# PostgreSQL cuts an identifier after 63 bytes, and tests need room for "test_" and "_gw10".
IDENTIFIER = re.compile(r"(?!pg_)[a-z_][a-z0-9_]{0,47}")
TAKEN = {"devdb_superuser", "none", "postgres", "public", "template0", "template1"}


@dataclass(frozen=True)
class Project:
    """A directory and the identifier that names its role and its database."""

    root: Path
    name: str

    @property
    def directory(self) -> Path:
        """Return the directory that keeps the project's development database."""
        return self.root / ".devdb"


def find_project(start: Path) -> Project:
    """Return the project that `start` is in: the nearest pyproject.toml that has a name.

    DEVDB_NAME replaces the name, and makes `start` a project where no pyproject.toml has one.
    Raise DevdbError where there is no name, or one that PostgreSQL cannot use.
    """
    given = os.environ.get("DEVDB_NAME")
    start = start.resolve()
    for root in (start, *start.parents):
        if found := _name_in(root / "pyproject.toml"):
            return Project(root, identifier(given or re.sub(r"[-.]", "_", found.lower())))
    if given:
        return Project(start, identifier(given))
    raise DevdbError(
        f"no project here: neither {start} nor a directory above it has a pyproject.toml "
        "with [project] name. Change to the project, or set DEVDB_NAME."
    )


def identifier(name: str) -> str:
    """Return `name`. Raise DevdbError where it cannot name a role and a database."""
    if IDENTIFIER.fullmatch(name) and name not in TAKEN:
        return name
    raise DevdbError(
        f'the name "{name}" cannot be used for the database: set DEVDB_NAME to lower-case letters, '
        "digits and underscores, 48 at most, that neither begin with a digit or pg_ nor are a "
        "name of PostgreSQL's own."
    )


def _name_in(path: Path) -> str | None:
    try:
        content: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise DevdbError(f"{path}: {error}") from error
    project = content.get("project")
    name = project.get("name") if isinstance(project, dict) else None
    return name if isinstance(name, str) else None
