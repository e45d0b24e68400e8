"""Write a report as text, JSON, SARIF or GitHub annotations."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from gunicorn_doctor import __version__
from gunicorn_doctor.project import Project
from gunicorn_doctor.rules import SEVERITIES, Finding, Rule

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
COLOURS = {"error": "31", "warning": "33", "note": "36"}
ANNOTATIONS = {"error": "error", "warning": "warning", "note": "notice"}


@dataclass
class Report:
    """The result of one check."""

    project: Project
    rules: list[Rule]  # those that were applied
    findings: list[Finding]
    prefix: str = ""  # from the working directory to the checked one
    skipped: dict[str, str] = field(default_factory=dict)  # reason by rule
    suppressed: list[Finding] = field(default_factory=list)  # of skipped rules
    accepted: list[Finding] = field(default_factory=list)  # by the baseline
    vanished: list[tuple[str, str, str]] = field(default_factory=list)  # from the baseline

    def path(self, path: str) -> str:
        """Return a path as seen from the working directory."""
        return f"{self.prefix}{path}"


def counted(number: int, word: str) -> str:
    """Return `1 error` or `2 errors`."""
    return f"{number} {word}{'' if number == 1 else 's'}"


def text(report: Report, colour: bool) -> str:
    """Return the report for people; with ANSI colours if asked."""
    lines: list[str] = []
    for finding in report.findings:
        severity = finding.rule.severity
        shown = f"\033[{COLOURS[severity]}m{severity}\033[0m" if colour else severity
        place = f"{report.path(finding.where.path)}:{finding.where.line}"
        lines += [f"{place}: {shown} {finding.rule.id} {finding.message}"]
        lines += [f"    fix: {finding.rule.fix}"]
    lines += ["", *summary(report)] if lines else summary(report)
    return "\n".join(lines) + "\n"


def summary(report: Report) -> list[str]:
    """Return what was read, what was not checked, and the numbers of findings."""
    project = report.project
    file = project.settings_file
    lines = [f"settings: {file and project.location(file).path} ({project.settings_reason})"]
    servers = [each.server for each in project.deployments if each.program]
    lines += [f"server: {server}" for server in servers] or [
        "server: no start command found, so rules on worker classes were not checked"
    ]
    lines += [f"not checked: {each}" for each in dict.fromkeys(project.unchecked)]
    lines += [
        f"skipped: {rule} ({reason}), {counted(found, 'finding')}"
        for rule, reason in report.skipped.items()
        for found in [sum(each.rule.id == rule for each in report.suppressed)]
    ]
    lines += [
        f"gone: the baseline accepts {rule} in {path}, which is not found any more: {message}"
        for rule, path, message in report.vanished
    ]
    numbers = Counter(each.rule.severity for each in report.findings)
    parts = [counted(numbers[each], each) for each in reversed(SEVERITIES) if numbers[each]]
    found = counted(len(report.findings), "finding") if report.findings else "nothing found"
    accepted = f"; {len(report.accepted)} accepted by the baseline" if report.accepted else ""
    return [*lines, found + (f" ({', '.join(parts)})" if parts else "") + accepted]


def plain(report: Report, finding: Finding) -> dict[str, Any]:
    """Return a finding as data."""
    return {
        "rule": finding.rule.id,
        "severity": finding.rule.severity,
        "path": report.path(finding.where.path),
        "line": finding.where.line,
        "message": finding.message,
        "fix": finding.rule.fix,
    }


def as_json(report: Report) -> str:
    """Return the report as one JSON object."""
    project = report.project
    file = project.settings_file
    data = {
        "version": 1,
        "settings": {
            "path": file and report.path(project.location(file).path),
            "reason": project.settings_reason,
        },
        "servers": [
            {"program": each.program, "worker_class": each.family, "where": str(each.where)}
            for each in project.deployments
            if each.program
        ],
        "findings": [plain(report, each) for each in report.findings],
        "skipped": [
            {**plain(report, each), "reason": report.skipped[each.rule.id]}
            for each in report.suppressed
        ],
        "accepted": [plain(report, each) for each in report.accepted],
        "vanished": [
            {"rule": rule, "path": path, "message": message}
            for rule, path, message in report.vanished
        ],
        "unchecked": list(dict.fromkeys(project.unchecked)),
    }
    return json.dumps(data, indent=2) + "\n"


def sarif(report: Report) -> str:
    """Return the report as SARIF 2.1.0. Skipped and accepted findings are suppressed results."""
    rules = [
        {
            "id": rule.id,
            "shortDescription": {"text": rule.title},
            "fullDescription": {"text": f"{rule.title}. {rule.fix}"},
            "help": {"text": f"Fix: {rule.fix}", "markdown": rule.page()},
            "defaultConfiguration": {"level": rule.severity},
        }
        for rule in report.rules
    ]
    results = [result(report, each) for each in report.findings]
    results += [result(report, each, report.skipped[each.rule.id]) for each in report.suppressed]
    results += [result(report, each, "accepted by the baseline") for each in report.accepted]
    driver = {"name": "django-gunicorn-doctor", "version": __version__, "rules": rules}
    run = {"tool": {"driver": driver}, "columnKind": "utf16CodeUnits", "results": results}
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def result(report: Report, finding: Finding, suppressed: str = "") -> dict[str, Any]:
    """Return one result of SARIF; its fingerprint does not depend on the line."""
    digest = hashlib.sha256("\0".join(finding.key).encode(errors="surrogateescape")).hexdigest()
    data: dict[str, Any] = {
        "ruleId": finding.rule.id,
        "level": finding.rule.severity,
        "message": {"text": f"{finding.message}. {finding.rule.fix}"},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {
                        "uri": quote(report.path(finding.where.path), errors="surrogateescape")
                    },
                    "region": {"startLine": finding.where.line},
                }
            }
        ],
        "partialFingerprints": {"doctor/v1": digest},
    }
    if suppressed:
        data["suppressions"] = [{"kind": "external", "justification": suppressed}]
    return data


def github(report: Report) -> str:
    """Return workflow commands that GitHub shows as annotations."""
    return "".join(
        f"::{ANNOTATIONS[each.rule.severity]} file={escape(report.path(each.where.path), True)},"
        f"line={each.where.line},title={escape(f'{each.rule.id} {each.rule.title}', True)}::"
        f"{escape(f'{each.message}. {each.rule.fix}')}\n"
        for each in report.findings
    )


def escape(text: str, attribute: bool = False) -> str:
    """Return `text` as GitHub's workflow commands need it."""
    pairs: Iterable[tuple[str, str]] = [("%", "%25"), ("\r", "%0D"), ("\n", "%0A")]
    if attribute:
        pairs = [*pairs, (":", "%3A"), (",", "%2C")]
    for character, code in pairs:
        text = text.replace(character, code)
    return text
