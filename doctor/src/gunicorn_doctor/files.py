"""Find and read the files of a project, without following it outside."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from gunicorn_doctor.values import Location

# Directories of tools and dependencies. Nothing that a deployment reads is there.
SKIPPED = {
    ".git", ".hg", ".tox", ".nox", ".venv", "venv", "node_modules", "__pycache__", "site-packages",
    ".mypy_cache", ".ruff_cache", ".pytest_cache", "tests", "test", "docs",
}  # fmt: skip
LARGE = 10_000_000  # bytes; lock files of real projects have more than one million


class Tree:
    """The files below one directory."""

    def __init__(self, root: Path, report: Callable[[Location, str], None]) -> None:
        """List the files. `report` is called with what cannot be read."""
        self.root = root.resolve()
        self.report = report
        self.files: list[Path] = []
        for directory, directories, names in os.walk(self.root, onerror=self.closed):
            directories[:] = sorted(
                name
                for name in directories
                if name not in SKIPPED and not os.path.exists(f"{directory}/{name}/pyvenv.cfg")
            )
            found = (Path(directory, name) for name in sorted(names))
            self.files += [path for path in found if self.inside(path)]

    def closed(self, error: OSError) -> None:
        """Report a directory that cannot be listed."""
        self.report(
            self.location(Path(error.filename)), f"the directory cannot be read: {error.strerror}"
        )

    def inside(self, path: Path) -> bool:
        """Return True for a file of the tree, False for a pipe or a link to the outside."""
        return os.path.isfile(path) and path.resolve().is_relative_to(self.root)

    def named(self, pattern: str) -> list[Path]:
        """Return the files whose whole name matches a regular expression, nearest first."""
        found = [path for path in self.files if re.fullmatch(pattern, path.name)]
        return sorted(found, key=lambda path: (len(path.parts), path))

    def text(self, path: Path) -> str:
        """Return the text of a file; empty, and reported, if it cannot be read."""
        try:
            if path.stat().st_size < LARGE:
                return path.read_text(encoding="utf-8-sig")
            self.report(self.location(path), f"the file is larger than {LARGE} bytes")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8"
            self.report(self.location(path), f"the file cannot be read: {reason}")
        return ""

    def location(self, path: Path, line: int = 1) -> Location:
        """Return a location in a file of the tree."""
        return Location(path.relative_to(self.root).as_posix(), line)

    def script(self, word: str, beside: Path | None, copies: Mapping[str, str]) -> Path | None:
        """Return the file that a path in an image or a working directory is, if it is in the tree.

        Args:
            word: The path as the command writes it.
            beside: The directory of the Dockerfile, which often has the script.
            copies: The COPY instructions: destination by source.
        """
        name = word.rsplit("/", 1)[-1]
        for source, destination in copies.items():
            if destination == word or (destination.endswith("/") and source.endswith(f"/{name}")):
                candidate = self.root / source
                if candidate.is_file():
                    return candidate.resolve()
        parts = [part for part in word.split("/") if part not in {"", ".", ".."}]
        candidates = [self.root.joinpath(*parts[start:]) for start in range(len(parts))]
        if beside and parts:
            candidates.insert(0, beside / parts[-1])
        candidates += [path for path in self.files if path.name == name]
        found = next((path for path in candidates if path in self.files), None)
        return found if found and found.suffix in {"", ".sh"} else None
