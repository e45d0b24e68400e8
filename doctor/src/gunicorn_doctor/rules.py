"""Rules: what they are, and which there are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

from gunicorn_doctor.project import Project
from gunicorn_doctor.values import Location, Problem

LINE = re.compile(r"(?<=\w):\d+\b")  # of a location in a message
GROUP = "django_gunicorn_doctor.rules"
SEVERITIES = ("note", "warning", "error")
Check = Callable[[Project], Iterable[tuple[Location, str]]]


@dataclass(frozen=True)
class Rule:
    """One rule. `check` yields a location and a message for each finding."""

    id: str
    severity: str  # one of SEVERITIES
    title: str
    fix: str
    check: Check

    def page(self) -> str:
        """Return the page that explains the rule; an extra rule's is the docstring of its check."""
        here = Path(__file__).parent
        for directory in (here / "pages", here.parents[1] / "docs" / "rules"):
            if (file := directory / f"{self.id}.md").is_file():
                return file.read_text(encoding="utf-8")
        return f"# {self.id}: {self.title}\n\n{self.check.__doc__ or ''}\n\nFix: {self.fix}\n"


@dataclass(frozen=True)
class Finding:
    """What one rule found at one place."""

    rule: Rule
    where: Location
    message: str

    @property
    def key(self) -> tuple[str, str, str]:
        """Return what identifies the finding in a baseline: no lines, which move."""
        return self.rule.id, self.where.path, LINE.sub("", self.message)


def every_rule() -> dict[str, Rule]:
    """Return the rules by id: the built-in ones and those of installed packages.

    Raises:
        Problem: An entry point cannot be loaded, is no rule, or takes an id that is in use.
    """
    from gunicorn_doctor.builtin import RULES

    found = {rule.id: rule for rule in RULES}
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        try:
            loaded = point.load()
        except Exception as error:
            raise Problem(f"entry point {point.name} of {GROUP}: {error}") from error
        for rule in loaded if isinstance(loaded, list | tuple) else [loaded]:
            if not isinstance(rule, Rule) or rule.severity not in SEVERITIES:
                raise Problem(f"entry point {point.name} of {GROUP} is not a Rule: {rule!r}")
            if rule.id in found:
                raise Problem(f"entry point {point.name} of {GROUP}: {rule.id} is in use")
            found[rule.id] = rule
    return found


def apply(rules: Iterable[Rule], project: Project) -> list[Finding]:
    """Return what the rules find, each once, in the order of files and lines.

    Raises:
        Problem: A rule of another package failed.
    """
    found: dict[tuple[str, str, str], Finding] = {}
    for rule in rules:
        try:
            for where, message in rule.check(project):
                finding = Finding(rule, where, str(message))
                found.setdefault((rule.id, where.path, str(message)), finding)
        except Exception as error:
            raise Problem(f"rule {rule.id} failed: {error!r}") from error
    return sorted(found.values(), key=lambda each: (each.where.path, each.where.line, each.rule.id))
