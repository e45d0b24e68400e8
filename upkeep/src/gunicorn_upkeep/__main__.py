"""The command `django-gunicorn-upkeep`."""

import argparse
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from gunicorn_upkeep import record
from gunicorn_upkeep.git import Refused
from gunicorn_upkeep.merge import Merge, merge, require_clean
from gunicorn_upkeep.record import NAME, Record
from gunicorn_upkeep.template import Template

HALFWAY = 3  # the exit code if files could not be written
VERBS = {"A": "add", "M": "change", "T": "change", "D": "delete"}


@dataclass(frozen=True)
class Outcome:
    """What a command did, or would do."""

    old: str
    new: str
    answers: dict[str, str]  # the answers that differ from the recorded ones
    defaults: dict[str, str]  # the answers to prompts that are new
    merged: Merge | None  # None if there was nothing to do

    def as_json(self) -> str:
        """Return the outcome as a JSON document."""
        merged = self.merged
        content = {
            "from": self.old,
            "to": self.new,
            "answers": self.answers,
            "new_prompts": self.defaults,
            "changes": {path: VERBS[kind] for path, kind in merged.changes.items()}
            if merged
            else {},
            "conflicts": merged.conflicts if merged else {},
            "notes": merged.notes if merged else [],
        }
        return json.dumps(content, indent=2)

    def as_text(self, dry_run: bool) -> str:
        """Return the outcome as lines for people."""
        if self.merged is None:
            return f"Nothing to do: the project is at {self.new} with these answers."
        lines = [f"{self.old} -> {self.new}"]
        lines += [f"answer: {name}={value}" for name, value in self.answers.items()]
        lines += [f"new prompt: {name}={value}" for name, value in self.defaults.items()]
        lines += [f"{VERBS[kind]:<6} {path}" for path, kind in self.merged.changes.items()]
        lines += [f"note: {note}" for note in self.merged.notes]
        lines += [f"CONFLICT {path}: {what}" for path, what in self.merged.conflicts.items()]
        if dry_run:
            lines.append("Nothing was changed.")
        elif self.merged.conflicts:
            lines.append("Resolve the conflicts, run the tests, and commit.")
        else:
            lines.append("Merged without conflicts. Run uv lock and the tests, and commit.")
        return "\n".join(lines)


class Incomplete(Exception):
    """A part of the result was written. The message says how to take it back."""


class Parser(argparse.ArgumentParser):
    """A parser that refuses in one line."""

    def error(self, message: str) -> NoReturn:
        """Print the message, and exit with 2."""
        self.exit(2, f"{self.prog}: {message}\n")


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    """Return the parsed command line."""
    parser = Parser(
        prog="django-gunicorn-upkeep",
        description="Update a generated service, or change its answers. Nothing is committed.",
        epilog="Exit: 0 merged, or nothing to do; 1 merged with conflicts; 2 refused, unchanged; "
        "3 stopped halfway.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    update = commands.add_parser("update", help="merge another version of the template")
    update.add_argument("--to", metavar="VERSION", help="a tag of the template (the newest)")
    switch = commands.add_parser("switch", help="change answers at the recorded version")
    for command in (update, switch):
        command.add_argument("path", type=Path, metavar="PATH", help="the service's directory")
        command.add_argument(
            "--template", metavar="URL_OR_PATH", help="the template's repository (as recorded)"
        )
        command.add_argument("--dry-run", action="store_true", help="show what would change")
        command.add_argument("--json", action="store_true", help="print a JSON document")
    switch.add_argument("answers", nargs="+", metavar="PROMPT=ANSWER")
    return parser.parse_args(arguments)


def _answers(given: list[str]) -> dict[str, str]:
    """Return the answers by prompt.

    Raises:
        Refused: One has no equals sign.
    """
    for each in given:
        if "=" not in each:
            raise Refused(f"{each} is not PROMPT=ANSWER")
    return {name: value for name, _, value in (each.partition("=") for each in given)}


def _perform(options: argparse.Namespace, project: Path, workspace: Path) -> Outcome:
    """Bake twice, merge, and write the result unless it is a dry run.

    Raises:
        Refused: The input is bad. Nothing was changed.
        Incomplete: Files could not be written.
    """
    recorded = record.read(project)
    require_clean(project)
    address = options.template or recorded.template
    if address == record.UNKNOWN:
        raise Refused(f"{NAME} does not name the template's repository: give it with --template")
    template = Template(address, workspace, recorded.directory)
    old = template.version(recorded.commit)
    if options.command == "switch":
        new, given = old, _answers(options.answers)
        new.check(given)
    else:
        name = template.tag(options.to) if options.to else template.newest(old.name)
        new, given = template.version(name), {}
    answers = recorded.answers | given
    changed = {name: value for name, value in given.items() if recorded.answers.get(name) != value}
    if new.source == old.source and not changed:
        return Outcome(old.name, new.name, {}, {}, None)
    before, _ = old.bake(recorded.answers, workspace / "old")
    after, context = new.bake(answers, workspace / "new")
    merged = merge(project, before, after, workspace / "merge.git")
    merged.require_free()
    added = new.prompts().keys() - recorded.answers.keys() - given.keys()
    defaults = {
        name: str(context[name]) for name in new.prompts() if name in added & context.keys()
    }
    if not options.dry_run:
        try:
            merged.apply()
            _write(project, recorded, options.template, new.name, context)
        except (Refused, OSError, KeyboardInterrupt) as error:
            raise Incomplete(
                f"stopped halfway ({str(error) or 'interrupted'}): in {project}, "
                "`git checkout . && git clean -fd .` takes it back"
            ) from error
    return Outcome(old.name, new.name, changed, defaults, merged)


def _write(
    project: Path, recorded: Record, given: str | None, commit: str, context: dict[str, Any]
) -> None:
    """Write the record: `given` replaces the template's address if others can reach it, too."""
    template = given if given and record.is_address(given) else recorded.template
    (project / NAME).write_text(recorded.changed(template, commit, context), encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Run the command, and return its exit code."""
    options = _parse(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="upkeep-") as workspace:
            # Paths are absolute: git is run in several directories.
            project = Path(os.path.abspath(options.path))
            outcome = _perform(options, project, Path(workspace).resolve())
    except Refused as refusal:
        print(f"django-gunicorn-upkeep: {refusal}", file=sys.stderr)
        return 2
    except Incomplete as incomplete:
        print(f"django-gunicorn-upkeep: {incomplete}", file=sys.stderr)
        return HALFWAY
    print(outcome.as_json() if options.json else outcome.as_text(options.dry_run))
    return 1 if outcome.merged and outcome.merged.conflicts else 0


if __name__ == "__main__":
    sys.exit(main())
