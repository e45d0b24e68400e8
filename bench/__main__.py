"""Measure the template against what people use instead, in one run.

Generates services, installs their peers beside them, puts the same loads on each in turn, and
writes a report in Markdown, the figures as JSON, and pictures. Needs uv, wrk, PgBouncer and Python
3.12 or later, and about an hour. Nothing else should run on the machine meanwhile.
"""

import argparse
import json
import re
import shutil
import signal
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg

from baking.combinations import ROOT
from baking.project import CommandFailed
from bench.configurations import CONFIGURATIONS
from bench.environments import Unavailable
from bench.figures import dumps, is_whole, read
from bench.loads import WrkFailed
from bench.report import write
from bench.run import QUICK, Bench, Plan
from devdb import DevdbError

WHOLE = ROOT / "docs" / "benchmarks"
PARTIAL = ROOT / ".bench"
FIGURES = "figures.json"
FAILURES = (OSError, ValueError, Unavailable, WrkFailed, CommandFailed, DevdbError, psycopg.Error)
SIGNALS = (signal.SIGINT, signal.SIGTERM)
LONGEST = 3600  # rounds or seconds
INTERRUPTED = 130  # as a shell reports Ctrl-C


def main() -> int:
    """Run the command line. Return 1 if a configuration failed."""
    arguments = parsed()
    if arguments.list:
        print("\n".join(configuration.name for configuration in CONFIGURATIONS))
        return 0
    plan = plan_of(arguments)
    output = arguments.output or (WHOLE if plan == Plan() else PARTIAL)
    for number in SIGNALS:
        signal.signal(number, interrupt)
    try:
        if not arguments.report:
            output = measured(plan, output)
        figures = read(output / FIGURES)
        write(figures, output, readme=ROOT / "README.md" if output == WHOLE else None)
    except FAILURES as error:
        sys.exit(f"bench: {error}")
    except KeyboardInterrupt:
        print("bench: interrupted; --report writes a report of what was measured", file=sys.stderr)
        return INTERRUPTED
    print(json.dumps(figures) if arguments.json else output / "README.md")
    return 1 if figures["failed"] else 0


def interrupt(*_: Any) -> None:
    """Raise KeyboardInterrupt, and ignore further signals: the servers still have to stop."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def parsed() -> argparse.Namespace:
    """Return the command line. End the program if something is wrong in it."""
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--list", action="store_true", help="name the configurations, and end")
    parser.add_argument(
        "--only", metavar="REGEX", default="", help="those whose name matches, as '^gthread: slots'"
    )
    parser.add_argument("--rounds", type=int, help=f"repeats of each load (default {Plan.rounds})")
    parser.add_argument("--seconds", type=int, help=f"for each run (default {Plan.seconds})")
    parser.add_argument(
        "--quick", action="store_true", help="two short loads, once: to try the bench itself"
    )
    parser.add_argument(
        "--output",
        type=lambda path: Path(path).resolve(),
        help="directory (default docs/benchmarks; of a run that leaves something out, .bench)",
    )
    parser.add_argument(
        "--report",
        action="store_true",
        help="measure nothing: write the report of the figures that are in --output",
    )
    parser.add_argument("--json", action="store_true", help="print the figures")
    arguments = parser.parse_args()
    for name in ("rounds", "seconds"):
        given = getattr(arguments, name)
        if given is not None and not 1 <= given <= LONGEST:
            parser.error(f"--{name} has to be between 1 and {LONGEST}")
    if arguments.output and arguments.output.exists() and not arguments.output.is_dir():
        parser.error(f"--output {arguments.output} is no directory")
    try:
        re.compile(arguments.only)
    except re.error as error:
        parser.error(f"--only {arguments.only!r} is no regular expression: {error}")
    return arguments


def plan_of(arguments: argparse.Namespace) -> Plan:
    """Return the whole plan, less what the command line leaves out."""
    given = {name: getattr(arguments, name) for name in ("only", "rounds", "seconds")}
    changed = {name: value for name, value in given.items() if value}
    return replace(QUICK if arguments.quick else Plan(), **changed)


def measured(plan: Plan, output: Path) -> Path:
    """Measure, and return the directory of the figures: `output`, if they may be published there.

    The committed figures stay until there are others as good. The file gets the figures part by
    part, so a stopped run keeps what it has.
    """
    working = PARTIAL if output == WHOLE else output
    working.mkdir(parents=True, exist_ok=True)
    file = working / FIGURES
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        Path(directory).chmod(0o755)  # PostgreSQL and PgBouncer do not run as root
        bench = Bench(plan, Path(directory))
        try:
            bench.run(lambda figures: file.write_text(dumps(figures)))
        except KeyboardInterrupt:
            bench.figures["failed"]["the run"] = "interrupted"
            raise
        finally:
            if bench.figures["runs"]:
                file.write_text(dumps(bench.figures))
    if output != WHOLE:
        return output
    if not is_whole(bench.figures):
        print(f"bench: not a whole run, so {WHOLE} stays as it is", file=sys.stderr)
        return working
    shutil.copy(file, output)
    return output


if __name__ == "__main__":
    sys.exit(main())
