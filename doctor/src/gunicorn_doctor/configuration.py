"""Read `[tool.django-gunicorn-doctor]` in pyproject.toml, and the baseline file."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gunicorn_doctor.rules import LINE, Finding
from gunicorn_doctor.values import Problem

TABLE = "tool.django-gunicorn-doctor"
Key = tuple[str, str, str]


@dataclass
class Configuration:
    """What a project says to the doctor."""

    skip: dict[str, str] = field(default_factory=dict)  # the reason by the id of a rule
    settings: str = ""  # the settings module


def read(root: Path) -> Configuration:
    """Return the configuration in the pyproject.toml of the checked directory.

    Raises:
        Problem: It has an unknown key, or a skip without a reason.
    """
    file = root / "pyproject.toml"
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except (OSError, ValueError):
        return Configuration()  # reported as not understood
    tool = data.get("tool")
    table: Any = tool.get("django-gunicorn-doctor", {}) if isinstance(tool, dict) else {}
    if not isinstance(table, dict):
        raise Problem(f"{file}: {TABLE} has to be a table")
    for key in table.keys() - {"skip", "settings"}:
        raise Problem(f"{file}: unknown key {key} in [{TABLE}]")
    skip = table.get("skip", {})
    if not isinstance(skip, dict):
        raise Problem(f'{file}: skip in [{TABLE}] has to be a table, such as {{DG003 = "reason"}}')
    for rule, reason in skip.items():
        if not isinstance(reason, str) or not reason.strip():
            raise Problem(f"{file}: the skip of {rule} has no reason")
    settings = table.get("settings", "")
    if not isinstance(settings, str):
        raise Problem(f"{file}: settings in [{TABLE}] has to be the name of a module")
    return Configuration(skip, settings)


def read_baseline(file: Path) -> set[Key]:
    """Return the keys of the findings that a baseline accepts.

    Raises:
        Problem: The file cannot be read, or is no baseline.
    """
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        return {
            (str(each["rule"]), str(each["path"]), LINE.sub("", str(each["message"])))
            for each in data["findings"]
        }
    except OSError as error:
        raise Problem(f"baseline {file}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Problem(f"baseline {file} is broken; write it again with --write-baseline") from error


def write_baseline(file: Path, findings: Iterable[Finding]) -> None:
    """Write a baseline that accepts `findings`.

    Raises:
        Problem: The file cannot be written.
    """
    keys = [dict(zip(("rule", "path", "message"), each.key, strict=True)) for each in findings]
    try:
        file.write_text(json.dumps({"version": 1, "findings": keys}, indent=2) + "\n", "utf-8")
    except OSError as error:
        raise Problem(f"baseline {file}: {error.strerror}") from error
