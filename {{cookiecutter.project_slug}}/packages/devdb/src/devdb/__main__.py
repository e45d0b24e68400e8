"""The command line: `devdb run COMMAND...`, or `devdb` for the database alone."""

import argparse
import contextlib
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from types import FrameType

from devdb.environment import database, read_env_file, set_environment
from devdb.errors import DevdbError
from devdb.locks import exclusive
from devdb.project import Project, find_project

DESCRIPTION = """\
A real PostgreSQL for development. Never for production.

  devdb run gunicorn    migrate, run gunicorn with its database; Ctrl-C ends both
  devdb                 the database alone, until Ctrl-C; prints its DATABASE_URL

Where DATABASE_URL is set, in the environment or in .env, that server is used. Otherwise one
is started: the newest PostgreSQL on this machine, else the one in a wheel. Its data is kept in
.devdb/ in the project; delete that directory to begin anew.
"""
VARIABLES = """\
environment:
  DATABASE_URL      the server to use instead of starting one
  ENV_FILE          the file to read instead of .env; empty: none
  DEVDB_NAME        the name of the role and the database (default: the project's)
  DEVDB_BINARIES    the directory of the PostgreSQL programs to use
"""
MIGRATION_TIMEOUT = 600.0  # seconds for another devdb to apply the migrations


def main() -> int:
    """Return the exit code: that of the command, 0, or 1 after one line that says what failed."""
    parser, run = _parsers()
    arguments = parser.parse_args()
    command: list[str] = getattr(arguments, "command", [])
    command = command[1:] if command[:1] == ["--"] else command
    if arguments.action == "run" and not command:
        run.error("which command?")

    _exit_on_termination()
    try:
        project = find_project(Path.cwd())
        read_env_file(project.root)
        with database(project=project) as url:
            set_environment(url)
            try:
                return _run(command, project) if command else _wait_for_interrupt(url)
            finally:
                # A second Ctrl-C must not interrupt the stop of the server.
                signal.signal(signal.SIGINT, signal.SIG_IGN)
    except (DevdbError, OSError) as error:
        print(f"devdb: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _parsers() -> tuple[argparse.ArgumentParser, argparse.ArgumentParser]:
    parser = argparse.ArgumentParser(
        prog="devdb",
        description=DESCRIPTION,
        epilog=VARIABLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"devdb {version('devdb')}")
    actions = parser.add_subparsers(dest="action")
    run = actions.add_parser("run", help="migrate, run a command, then stop the database")
    run.usage = "devdb run COMMAND..."
    run.add_argument("command", nargs=argparse.REMAINDER, help="the command and its arguments")
    return parser, run


def _exit_on_termination() -> None:
    """Leave through the context managers, so that no server is left behind."""

    def leave(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, leave)


def _wait_for_interrupt(url: str) -> int:
    print(f"DATABASE_URL={url}", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()
    return 0


def _run(command: list[str], project: Project) -> int:
    """Apply the migrations, then run `command`. Return the exit code of the one that ended it."""
    if (project.root / "manage.py").exists() and (code := _migrate(project)):
        return code
    try:
        process = subprocess.Popen(command)
    except OSError as error:
        raise DevdbError(f"{command[0]}: {error.strerror}") from error
    return _exit_code(_wait_for(process))


def _migrate(project: Project) -> int:
    """Run `manage.py migrate`, one devdb at a time. Return its exit code."""
    with contextlib.ExitStack() as stack:
        if project.directory.exists():  # it does not with a server that DATABASE_URL names
            stack.enter_context(exclusive(project.directory / "migration", MIGRATION_TIMEOUT))
        migrate = [sys.executable, "manage.py", "migrate", "--verbosity=0"]
        return _exit_code(subprocess.call(migrate, cwd=project.root))


def _wait_for(process: subprocess.Popen[bytes]) -> int:
    """Return the exit code of `process`, which ends in its own time."""
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue  # the terminal sent it to the process too
        except SystemExit:
            process.terminate()


def _exit_code(code: int) -> int:
    """Return `code`, or what a shell gives for the signal that ended the process."""
    return 128 - code if code < 0 else code


if __name__ == "__main__":
    sys.exit(main())
