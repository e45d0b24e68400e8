"""The template against what people use today, in one run.

Generates services, installs their peers, puts the same load on each in turn, and writes a
Markdown report, the figures as JSON and pictures. Needs uv; uses wrk and pgbouncer where they are
installed, and Python 3.12 or later. Nothing else should run on the machine meanwhile.
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

from bench.configurations import CONFIGURATIONS
from bench.environments import Unavailable
from bench.plan import QUICK, Plan
from bench.report import compact, is_whole, write
from bench.run import Bench

ROOT = Path(__file__).resolve().parent.parent
WHOLE = ROOT / "docs" / "benchmarks"
PARTIAL = ROOT / ".bench"
FIGURES = "figures.json"


def main() -> int:
    arguments = parsed()
    if arguments.list:
        print("\n".join(configuration.name for configuration in CONFIGURATIONS))
        return 0
    partial = arguments.quick or arguments.only or arguments.rounds or arguments.seconds
    output = arguments.output or (PARTIAL if partial else WHOLE)
    if not arguments.report:
        # The committed figures stay until there are others as good.
        working = PARTIAL if output == WHOLE else output
        try:
            working.mkdir(parents=True, exist_ok=True)
            figures = measure(plan_of(arguments), working / FIGURES)
        except (OSError, Unavailable) as error:
            sys.exit(f"bench: {error}")
        if output == WHOLE and is_whole(figures):
            shutil.copy(working / FIGURES, output / FIGURES)
        else:
            output = working
    if not (output / FIGURES).exists():
        sys.exit(f"{output / FIGURES} does not exist: run the bench without --report first")
    figures = json.loads((output / FIGURES).read_text())
    whole = is_whole(figures) and output == WHOLE
    write(figures, output, readme=ROOT / "README.md" if whole else None)
    print(json.dumps(figures) if arguments.json else output / "README.md")
    return 1 if figures["failed"] else 0


def parsed() -> argparse.Namespace:
    """The command line; what is wrong there ends the program."""
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--list", action="store_true", help="name the configurations, and end")
    parser.add_argument(
        "--only", metavar="REGEX", default="", help="those whose name matches, as '^gthread: slots'"
    )
    parser.add_argument(
        "--rounds",
        type=int,
        help=f"repeats of each load (default {Plan.rounds}, of the main one {Plan.main_rounds})",
    )
    parser.add_argument(
        "--seconds",
        type=int,
        help=f"for a load (default {Plan.seconds}, for the main one {Plan.main_seconds})",
    )
    parser.add_argument(
        "--quick", action="store_true", help="does it work? Few loads, once; no figures to quote"
    )
    parser.add_argument(
        "--output",
        type=Path,
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
        if getattr(arguments, name) is not None and getattr(arguments, name) < 1:
            parser.error(f"--{name} has to be at least 1")
    try:
        re.compile(arguments.only)
    except re.error as error:
        sys.exit(f"bench: --only {arguments.only!r} is no regular expression: {error}")
    return arguments


def plan_of(arguments: argparse.Namespace) -> Plan:
    """The whole plan, less what the command line leaves out."""
    given: dict[str, Any] = {"only": arguments.only}
    if arguments.rounds:
        given |= {"rounds": arguments.rounds, "main_rounds": arguments.rounds}
    if arguments.seconds:
        names = ("seconds", "main_seconds", "slow_seconds")
        given |= dict.fromkeys(names, arguments.seconds)
    return replace(QUICK if arguments.quick else Plan(), **given)


def measure(plan: Plan, file: Path) -> dict[str, Any]:
    """The figures of a run, which `file` gets part by part: an interrupted run keeps them."""
    # Terminated as well as interrupted: what was started is stopped.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        # PostgreSQL and PgBouncer run as another user when this is root.
        Path(directory).chmod(0o755)
        bench = Bench(plan, Path(directory))
        try:
            bench.run(lambda figures: file.write_text(compact(figures)))
        except KeyboardInterrupt:
            bench.figures["failed"]["the run"] = "interrupted"
        finally:
            file.write_text(compact(bench.figures))
    return bench.figures


if __name__ == "__main__":
    sys.exit(main())
