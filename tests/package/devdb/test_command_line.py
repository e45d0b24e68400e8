"""The command `devdb`, in a project of its own."""

import os
import signal
import subprocess
import sys

import psycopg
import pytest

from devdb import Cluster
from tests.package.devdb.support import TIMEOUT, Project, ask, wait_for

PRINT = "import os; print(os.environ[{!r}])"
WAIT = """\
import os, pathlib, time
pathlib.Path("pid.new").write_text(str(os.getpid()))
pathlib.Path("pid.new").rename("pid")
time.sleep(90)
"""
MANAGE = """\
import os, pathlib, sys, time
assert sys.argv[1:] == ["migrate", "--verbosity=0"]
with open("migrations", "a") as log:
    print("begin", file=log, flush=True)
    time.sleep(0.3)
    print("end", file=log, flush=True)
"""


def one_line_of(done: subprocess.CompletedProcess[str]) -> str:
    """Return the only line on standard error of a command that failed with 1."""
    assert done.returncode == 1, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("devdb: ")
    return line


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def start_waiting(project: Project) -> tuple[subprocess.Popen[str], int]:
    """Start a command under devdb. Return devdb, and the process id of the command."""
    process = project.start("run", sys.executable, "-c", WAIT)
    wait_for(lambda: project.read("pid") or process.poll() is not None, "the command")
    return process, int(project.read("pid"))


def test_run_sets_database_url(project: Project) -> None:
    done = project.run_python(PRINT.format("DATABASE_URL"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("postgresql://my_shop:")
    assert done.stdout.strip().endswith("/my_shop")
    assert project.cluster.pid is None


def test_run_makes_it_a_development_machine(project: Project) -> None:
    code = "import os; print(os.environ['DEBUG'], len(os.environ['SECRET_KEY']))"
    assert project.run_python(code).stdout.split() == ["true", "51"]


def test_run_keeps_what_is_set(project: Project) -> None:
    project.write(".env", "SECRET_KEY=from-the-file\nDEBUG=true\nOTHER=read\n")
    code = "import os; print(os.environ['DEBUG'], os.environ['SECRET_KEY'], os.environ['OTHER'])"
    done = project.run_python(code, DEBUG="false")
    assert done.stdout.split() == ["false", "from-the-file", "read"]


def test_exit_code_is_passed_on(project: Project) -> None:
    assert project.run_python("raise SystemExit(7)").returncode == 7


def test_signal_gives_shells_exit_code(project: Project) -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert project.run_python(code).returncode == 128 + signal.SIGKILL


def test_double_dash_precedes_command(project: Project) -> None:
    done = project.run("run", "--", sys.executable, "-c", "print('ran')")
    assert done.stdout == "ran\n"


@pytest.mark.parametrize("arguments", [["run"], ["run", "--"], ["serve"], ["--nonsense"]])
def test_bad_usage_exits_2(project: Project, arguments: list[str]) -> None:
    done = project.run(*arguments)
    assert done.returncode == 2
    assert "usage: devdb" in done.stderr
    assert not (project.root / ".devdb").exists()


def test_unknown_command_is_one_line(project: Project) -> None:
    line = one_line_of(project.run("run", "no-such-command"))
    assert line == "devdb: no-such-command: No such file or directory"


def test_bad_binaries_are_one_line(project: Project) -> None:
    done = project.run("run", "true", DEVDB_BINARIES="/no/such/directory")
    assert "DEVDB_BINARIES=/no/such/directory" in one_line_of(done)


def test_no_project_is_one_line(project: Project) -> None:
    (project.root / "pyproject.toml").unlink()
    assert "no project here" in one_line_of(project.run("run", "true"))


def test_name_can_be_given(project: Project) -> None:
    done = project.run_python(PRINT.format("DATABASE_URL"), DEVDB_NAME="other")
    assert done.stdout.strip().endswith("/other")


def test_migrations_come_first(project: Project) -> None:
    project.write(
        "manage.py", MANAGE + "pathlib.Path('url').write_text(os.environ['DATABASE_URL'])"
    )
    done = project.run_python("print(open('migrations').read() + open('url').read())")
    assert done.stdout.split()[:2] == ["begin", "end"]
    assert done.stdout.split()[2].startswith("postgresql://")


def test_failed_migration_ends_it(project: Project) -> None:
    project.write("manage.py", "raise SystemExit(3)")
    done = project.run_python("print('ran')")
    assert (done.returncode, done.stdout) == (3, "")


def test_server_of_env_file_is_used(project: Project) -> None:
    project.write(".env", "DATABASE_URL=postgresql://from-the-file\n")
    project.write("manage.py", MANAGE)
    done = project.run_python(PRINT.format("DATABASE_URL"))
    assert done.stdout == "postgresql://from-the-file\n"
    assert not (project.root / ".devdb").exists()


def test_real_environment_wins(project: Project) -> None:
    project.write(".env", "DATABASE_URL=postgresql://from-the-file\n")
    done = project.run_python(PRINT.format("DATABASE_URL"), DATABASE_URL="postgresql://given")
    assert done.stdout == "postgresql://given\n"


def test_other_env_file_is_read(project: Project) -> None:
    project.write(".env", "DATABASE_URL=postgresql://wrong\n")
    project.write("other.env", "DATABASE_URL=postgresql://right\n")
    done = project.run_python(PRINT.format("DATABASE_URL"), ENV_FILE="other.env")
    assert done.stdout == "postgresql://right\n"


def test_no_env_file_is_read(project: Project) -> None:
    project.write(".env", "DATABASE_URL=postgresql://wrong\n")
    done = project.run_python(PRINT.format("DATABASE_URL"), ENV_FILE="")
    assert "@127.0.0.1:" in done.stdout


def test_absent_env_file_is_one_line(project: Project) -> None:
    done = project.run("run", "true", ENV_FILE="absent.env")
    assert one_line_of(done) == "devdb: ENV_FILE=absent.env: there is no such file."


def test_two_at_once_share_one_server(project: Project) -> None:
    project.write("manage.py", MANAGE)
    code = "import os, time; print(os.environ['DATABASE_URL']); time.sleep(1)"
    started = [project.start("run", sys.executable, "-c", code) for _ in range(2)]
    outputs = [process.communicate(timeout=TIMEOUT) for process in started]
    assert [process.returncode for process in started] == [0, 0], outputs
    assert len({output for output, _ in outputs}) == 1
    assert project.read("migrations").split() == ["begin", "end"] * 2
    assert project.cluster.pid is None


def test_second_devdb_keeps_server(project: Project) -> None:
    first, _ = start_waiting(project)
    assert project.run("run", "true").returncode == 0
    assert project.cluster.pid is not None
    first.terminate()
    first.communicate(timeout=TIMEOUT)
    assert project.cluster.pid is None


def test_server_of_killed_devdb_is_taken_over(project: Project) -> None:
    process, command = start_waiting(project)
    server = project.cluster.pid
    process.kill()
    process.communicate(timeout=TIMEOUT) if not is_running(command) else process.wait(TIMEOUT)
    os.kill(command, signal.SIGKILL)
    assert project.cluster.pid == server
    done = project.run_python(PRINT.format("DATABASE_URL"))
    assert done.returncode == 0
    assert project.cluster.pid is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_termination_stops_server_and_command(project: Project, number: signal.Signals) -> None:
    inherited = signal.signal(number, signal.SIG_DFL)  # nohup makes all its children ignore SIGHUP
    try:
        process, command = start_waiting(project)
    finally:
        signal.signal(number, inherited)
    process.send_signal(number)
    assert process.wait(TIMEOUT) == 128 + signal.SIGTERM  # of the command
    assert not is_running(command)
    assert project.cluster.pid is None


def test_ctrl_c_ends_both(project: Project) -> None:
    process, command = start_waiting(project)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 128 + signal.SIGINT
    assert "devdb" not in errors.replace("/devdb/", "")  # the traceback is the command's
    assert not is_running(command)
    assert project.cluster.pid is None


def test_ctrl_c_during_migration_ends_both(project: Project) -> None:
    project.write("manage.py", "import signal, time\n" + WAIT)
    process = project.start("run", "true")
    wait_for(lambda: project.read("pid") or process.poll() is not None, "the migration")
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=TIMEOUT)
    assert process.returncode == 128 + signal.SIGINT
    assert project.cluster.pid is None


def test_alone_prints_its_url(project: Project) -> None:
    process = project.start()
    assert process.stdout is not None
    name, _, url = process.stdout.readline().strip().partition("=")
    assert name == "DATABASE_URL"
    assert ask(url, "SELECT current_user") == "my_shop"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, errors) == (0, "")
    with pytest.raises(psycopg.OperationalError):
        ask(url, "SELECT 1")


def test_alone_stops_when_terminated(project: Project) -> None:
    process = project.start()
    assert process.stdout is not None
    assert process.stdout.readline().startswith("DATABASE_URL=")
    process.terminate()
    _, errors = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, errors) == (128 + signal.SIGTERM, "")


def test_attaches_to_server_of_python(project: Project) -> None:
    with Cluster(project.root / ".devdb", name="my_shop") as cluster:
        done = project.run_python(PRINT.format("DATABASE_URL"))
        assert done.stdout.strip() == cluster.url


def test_help_says_how_to_start(project: Project) -> None:
    done = project.run("--help")
    assert done.returncode == 0
    assert "devdb run gunicorn" in done.stdout


def test_version_is_printed(project: Project) -> None:
    assert project.run("--version").stdout.startswith("devdb 1.")
