"""Run a fleet of one baked service, restart and kill its parts, and count what that costs.

Four instances run behind HAProxy, PgBouncer and PostgreSQL, on this machine, under a steady load.
Exits with 1 if there were more connections than the budget allows, if a planned event failed a
request, or if the service did not recover; with 2 if the fleet could not be run.
"""

import argparse
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from baking import pgbouncer
from baking.combinations import PROMPTS, ROOT, SUPPORTED, Combination
from baking.interpreters import NoInterpreter
from baking.project import CommandFailed, Project
from devdb import DevdbError
from tests.template.fleet import page, proxy
from tests.template.fleet.events import run
from tests.template.fleet.fleet import Fleet

PAGE = ROOT / "docs" / "results" / "fleet.md"
TEXT = Path(__file__).with_name("fleet.md")
BROKEN = (
    AssertionError,
    CommandFailed,
    DevdbError,
    NoInterpreter,
    OSError,
    subprocess.SubprocessError,
)


def main() -> int:
    """Run the fleet in one mode, or in both for the page."""
    parser = argparse.ArgumentParser(prog="python -m tests.template.fleet", description=__doc__)
    parser.add_argument("--worker-class", choices=PROMPTS["worker_class"], default="gevent")
    parser.add_argument("--driver", choices=PROMPTS["database_driver"], default="psycopg2")
    parser.add_argument("--seconds", type=float, default=10, help="at least, for each event")
    parser.add_argument("--direct", action="store_true", help="without PgBouncer")
    parser.add_argument(
        "--write-docs", action="store_true", help="run both modes, and write docs/results/fleet.md"
    )
    parser.add_argument("--logs", type=Path, metavar="DIRECTORY", help="keep the logs there")
    arguments = parser.parse_args()

    combination = Combination(arguments.worker_class, arguments.driver, "5.2", "api")
    if combination not in SUPPORTED:
        parser.error(f"{arguments.driver} does not work with {arguments.worker_class}")
    modes = [False, True] if arguments.write_docs else [arguments.direct]
    if proxy.program() is None:
        parser.error(proxy.MISSING)
    if not all(modes) and not pgbouncer.is_installed():
        parser.error(pgbouncer.MISSING)
    # As Ctrl-C, also where a shell has made this process ignore it: everything is ended in turn.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        return _run(arguments, combination, modes)
    except BROKEN as error:
        say(f"The fleet could not be run: {error}")
        return 2
    except KeyboardInterrupt:
        say("Interrupted. Everything that was started has ended.")
        return 130


def _run(arguments: argparse.Namespace, combination: Combination, modes: list[bool]) -> int:
    with tempfile.TemporaryDirectory(prefix="fleet-") as name:
        directory = Path(name)
        say(f"generate and install {combination}")
        project = Project(directory / "project", combination)
        reports = []
        for direct in modes:
            files = directory / ("direct" if direct else "pooled")
            files.mkdir()
            try:
                fleet = Fleet(project, files, direct=direct, say=say)
                reports.append(run(fleet, arguments.seconds))
            finally:
                if arguments.logs is not None:
                    keep_logs(files, arguments.logs)
    print(page.table(reports))
    problems = [problem for report in reports for problem in report.problems()]
    for problem in problems:
        say(problem)
    if arguments.write_docs:
        page.write(PAGE, TEXT.read_text(), reports, str(combination), arguments.seconds)
    return 1 if problems else 0


def keep_logs(files: Path, directory: Path) -> None:
    """Copy the logs in `files` to a directory of the same name below `directory`."""
    target = directory / files.name
    target.mkdir(parents=True, exist_ok=True)
    for log in files.glob("*.log"):
        (target / log.name).write_bytes(log.read_bytes())


def say(line: str) -> None:
    """Write a line of progress to standard error."""
    print(line, file=sys.stderr, flush=True)


def _interrupt(number: int, frame: object) -> None:
    # Once: the next signal does not stop what ends the processes.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
