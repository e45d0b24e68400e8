"""Read which releases of which packages a project installs."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from gunicorn_doctor.files import Tree
from gunicorn_doctor.values import Location

# Releases that a range may resolve to, as far as rules distinguish them.
RELEASES = {
    "django": "2.2 3.2 4.0 4.1 4.2 5.0 5.1 5.2 6.0 6.1",
    "gunicorn": "19.10.0 20.1.0 21.2.0 22.0.0 23.0.0 24.1.1 25.0.3 25.1.0 25.2.0 25.3.0 26.0.0"
    " 26.1.0 26.2.0 27.0.1",
}


class Requirements:
    """The packages that a project requires, with the range or the locked release of each."""

    def __init__(self) -> None:
        self.ranges: dict[str, SpecifierSet] = {}
        self.exact: dict[str, Version] = {}
        self.where: dict[str, Location] = {}

    def __contains__(self, name: str) -> bool:
        return name in self.ranges or name in self.exact

    @property
    def other_database(self) -> bool:
        """Return True if only the driver of another database than PostgreSQL is required."""
        others = ("mysqlclient", "pymysql", "oracledb", "mssql-django")
        drivers = ("psycopg", "psycopg2", "psycopg2-binary")
        return any(each in self for each in others) and not any(each in self for each in drivers)

    def release(self, name: str) -> Version | None:
        """Return the release that an installation gets, or None if that is not known.

        It is the locked one, or the newest known one in the range.
        """
        if name in self.exact:
            return self.exact[name]
        if name not in self.ranges:
            return None
        found = [Version(each) for each in RELEASES.get(name, "").split()]
        inside = [each for each in found if self.ranges[name].contains(each)]
        pinned = [each.version for each in self.ranges[name] if each.operator in {"==", "~="}]
        try:
            return inside[-1] if inside else Version(pinned[0].removesuffix(".*"))
        except (IndexError, InvalidVersion):
            return None

    def add(self, text: str, where: Location) -> None:
        """Take one requirement in the form of pip; what is none is left out."""
        try:
            requirement = Requirement(text.split(" #")[0].split(" --hash")[0].strip(" \\"))
        except InvalidRequirement:
            return
        name = canonicalize_name(requirement.name)
        for extra in requirement.extras:
            self.ranges.setdefault(f"{name}[{extra}]", SpecifierSet())
        self.ranges[name] = self.ranges.get(name, SpecifierSet()) & requirement.specifier
        self.where.setdefault(name, where)

    def lock(self, name: str, version: str, where: Location) -> None:
        """Take one locked release, if the project requires the package at all."""
        try:
            self.exact.setdefault(canonicalize_name(name), Version(version))
        except InvalidVersion:
            return
        self.where.setdefault(canonicalize_name(name), where)


def read(tree: Tree, directories: list[Path]) -> Requirements:
    """Return the requirements in `directories` and in their folders `requirements`."""
    found = Requirements()
    folders = [*directories, *(each / "requirements" for each in directories)]
    files = [path for path in tree.files if path.parent in folders]
    for path in files:
        if re.fullmatch(r"pyproject\.toml|Pipfile|uv\.lock|poetry\.lock", path.name):
            try:
                data = tomllib.loads(tree.text(path))
            except tomllib.TOMLDecodeError as error:
                tree.report(tree.location(path), f"TOML cannot be read: {error}")
                continue
            try:
                for text in declared(data):
                    found.add(text, tree.location(path))
                for package in data.get("package", []):
                    found.lock(package["name"], str(package.get("version")), tree.location(path))
            except (AttributeError, KeyError, TypeError):
                tree.report(tree.location(path), "the requirements have an unusual form")
    for path in files:
        inside = path.parent.name == "requirements" or path.name.startswith("requirements")
        if inside and path.suffix in {".txt", ".in"}:
            for number, line in enumerate(tree.text(path).splitlines(), 1):
                found.add(line, tree.location(path, number))
    return found


def declared(data: dict[str, Any]) -> Iterator[str]:
    """Yield the requirements of a pyproject.toml or Pipfile, in the form of pip."""
    project = data.get("project", {})
    yield from project.get("dependencies", [])
    for group in project.get("optional-dependencies", {}).values():
        yield from group
    for group in data.get("dependency-groups", {}).values():
        yield from (each for each in group if isinstance(each, str))
    poetry = data.get("tool", {}).get("poetry", {})
    tables = [poetry.get("dependencies", {}), data.get("packages", {})]
    tables += [group.get("dependencies", {}) for group in poetry.get("group", {}).values()]
    for table in tables:
        for name, value in table.items():
            extras = value.get("extras", []) if isinstance(value, dict) else []
            version = value.get("version", "*") if isinstance(value, dict) else str(value)
            bracket = f"[{','.join(extras)}]" if extras else ""
            yield f"{name}{bracket}{specifier(version)}"


def specifier(text: str) -> str:
    """Return a range of Poetry (`^25.1`, `~25.1`, `*`, `25.1`) as a specifier of pip."""
    if text in {"*", ""}:
        return ""
    if text[0] in "^~" and not text.startswith("~="):
        base = text[1:]
        numbers = [int(part) for part in re.findall(r"\d+", base)]
        kept = numbers[:1] if text[0] == "^" and numbers[0] else numbers[:2]
        upper = ".".join(map(str, [*kept[:-1], kept[-1] + 1]))
        return f">={base},<{upper}"
    try:
        return str(SpecifierSet(text if text[0] in "<>=!~" else f"=={text}"))
    except InvalidSpecifier:
        return ""
