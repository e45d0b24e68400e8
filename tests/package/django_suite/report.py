"""The comparison, for people and for programs."""

import importlib.metadata
import json
import platform
from collections import defaultdict
from dataclasses import asdict

import django

from tests.package.django_suite.results import Comparison


def title(driver: str, mode: str) -> str:
    """Return what was compared."""
    version = importlib.metadata.version("psycopg2-binary" if driver == "psycopg2" else driver)
    return (
        f"Django {django.get_version()}, {driver} {version}, Python {platform.python_version()}: "
        f"{mode}"
    )


def text(title: str, found: Comparison) -> str:
    """Return the comparison for people."""
    differ = len(found.expected) + len(found.unexpected)
    lines = [
        title,
        f"{found.tests:6} tests, {found.skipped} of them skipped",
        f"{len(found.bad_on_both):6} fail on both backends",
        f"{len(found.bad_only_on_djangos):6} fail on Django's backend only",
        f"{differ:6} fail on connection_slots.backend only, "
        f"{len(found.expected)} of them as expected",
    ]
    by_reason = defaultdict(list)
    for test, reason in found.expected.items():
        by_reason[reason].append(test)
    for reason, tests in by_reason.items():
        lines += ["", f"Expected: {reason}", *(f"    {test}" for test in tests)]
    for entry in found.outdated:
        lines += ["", f"Not needed in expected.toml here: {entry}"]
    for test, outcome in found.unexpected.items():
        lines += ["", f"NOT EXPECTED, {outcome.kind}: {test}", outcome.details.rstrip()]
    return "\n".join(lines)


def as_json(title: str, found: Comparison) -> str:
    """Return the comparison for programs."""
    return json.dumps({"title": title} | asdict(found), indent=2)
