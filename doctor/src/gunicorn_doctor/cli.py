"""The command line."""

from __future__ import annotations

import argparse
import io
import os
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

from gunicorn_doctor import __version__, configuration, effective, report, rules, static
from gunicorn_doctor.rules import SEVERITIES, Rule
from gunicorn_doctor.values import Problem

FOUND, USAGE = 1, 2  # exit codes


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    main = argparse.ArgumentParser(prog="django-gunicorn-doctor", description=__doc__)
    main.description = "Finds contradictions between Django's database settings and its server."
    main.add_argument("--version", action="version", version=__version__)
    commands = main.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="check a project")
    check.add_argument("path", type=Path, metavar="PATH", help="the directory of the project")
    check.add_argument("--settings", default="", metavar="MODULE", help="the settings module")
    check.add_argument(
        "--django", action="store_true", help="import the settings, and ask gunicorn"
    )
    check.add_argument("--database", action="store_true", help="ask the database server as well")
    check.add_argument("--python", default=sys.executable, help="the project's Python")
    check.add_argument("--timeout", type=seconds, default=60.0, help="seconds for --django (60)")
    check.add_argument("--select", default="", metavar="IDS", help="only these rules, by comma")
    check.add_argument("--ignore", default="", metavar="IDS", help="not these rules, by comma")
    check.add_argument("--format", choices=["text", "json", "sarif", "github"], default="text")
    check.add_argument(
        "--fail-level", choices=SEVERITIES, default="note", help="exit with 1 from here on (note)"
    )
    check.add_argument("--baseline", type=Path, metavar="FILE", help="findings that are accepted")
    check.add_argument(
        "--write-baseline", action="store_true", help="accept what is found: write --baseline"
    )
    commands.add_parser("list-rules", help="list the rules")
    explain = commands.add_parser("explain", help="explain a rule")
    explain.add_argument("rule", metavar="ID")
    return main


def main(arguments: list[str] | None = None) -> int:
    """Run a command, and return the exit code: 0 nothing found, 1 findings, 2 a problem."""
    given = parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):  # names of files may have any bytes
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        known = rules.every_rule()
        if given.command == "list-rules":
            for rule in known.values():
                print(f"{rule.id}  {rule.severity:7}  {rule.title}")
            return 0
        if given.command == "explain":
            print(known[require(known, [given.rule])[0]].page(), end="")
            return 0
        return check(given, known)
    except Problem as problem:
        print(f"django-gunicorn-doctor: {problem}", file=sys.stderr)
        return USAGE
    except RecursionError:
        print("django-gunicorn-doctor: the project is nested too deeply", file=sys.stderr)
        return USAGE
    except BrokenPipeError:  # the reader of a pipe ended, such as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FOUND


def seconds(text: str) -> float:
    """Return a time-out, or raise ValueError, which argparse reports."""
    number = float(text)
    if not 0 < number < threading.TIMEOUT_MAX:
        raise ValueError
    return number


def require(known: dict[str, Rule], ids: Iterable[str]) -> list[str]:
    """Return `ids` if all are rules.

    Raises:
        Problem: One is not.
    """
    found = [each.strip() for each in ids if each.strip()]
    for each in found:
        if each not in known:
            raise Problem(f"there is no rule {each}; see list-rules")
    return found


def check(given: argparse.Namespace, known: dict[str, Rule]) -> int:
    """Check a project, print the report, and return the exit code.

    Raises:
        Problem: The project, an option or the baseline cannot be used.
    """
    if given.write_baseline and not given.baseline:
        raise Problem("--write-baseline needs --baseline FILE")
    selected = require(known, given.select.split(",")) or list(known)
    ignored = require(known, given.ignore.split(","))
    accepted = set()
    if given.baseline and not given.write_baseline:
        accepted = configuration.read_baseline(given.baseline)
    settings = configuration.read(given.path)
    require(known, settings.skip)
    project = static.read(given.path, given.settings or settings.settings)
    if given.django or given.database:
        effective.inspect(project, given.python, given.timeout, given.database)
    applied = [known[each] for each in selected if each not in ignored]
    found = rules.apply(applied, project)
    suppressed = [each for each in found if each.rule.id in settings.skip]
    found = [each for each in found if each.rule.id not in settings.skip]
    if given.write_baseline:
        configuration.write_baseline(given.baseline, found)
        accepted = {each.key for each in found}
    judged = {each.id for each in applied} - settings.skip.keys()
    vanished = {key for key in accepted if key[0] in judged} - {each.key for each in found}
    result = report.Report(
        project,
        applied,
        [each for each in found if each.key not in accepted],
        prefix(project.root),
        settings.skip,
        suppressed,
        [each for each in found if each.key in accepted],
        sorted(vanished),
    )
    show(result, given.format)
    level = SEVERITIES.index(given.fail_level)
    failed = any(SEVERITIES.index(each.rule.severity) >= level for each in result.findings)
    return FOUND if failed else 0


def show(result: report.Report, form: str) -> None:
    """Print a report. Vanished entries of the baseline are told in every format."""
    if form == "text":
        colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        print(report.text(result, colour), end="")
        return
    write = {"json": report.as_json, "sarif": report.sarif, "github": report.github}[form]
    print(write(result), end="")
    for rule, path, message in result.vanished:
        print(f"gone from the baseline: {rule} in {path}: {message}", file=sys.stderr)


def prefix(root: Path) -> str:
    """Return the path from the working directory to `root` with a slash, if it is below it."""
    try:
        relative = root.relative_to(Path.cwd()).as_posix()
    except ValueError:
        return ""
    return "" if relative == "." else f"{relative}/"
