"""Layer 2: import the project's settings in its own Python, and put the effective values in."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import Any

from gunicorn_doctor import gunicorn
from gunicorn_doctor.project import GIVEN, Database, Deployment, Project, Server
from gunicorn_doctor.values import Location, Problem, Table, Value

COMMAND_LINE = ("worker_class", "workers", "threads", "worker_connections")


def inspect(project: Project, python: str, timeout: float, database: bool) -> None:
    """Replace what the source says by what holds in the project's environment.

    The settings module is the given one, else that of DJANGO_SETTINGS_MODULE, else that for
    production.

    Args:
        project: What the source says; it is changed.
        python: The project's Python.
        timeout: Seconds for all of it.
        database: Whether to ask the database servers.

    Raises:
        Problem: The project cannot be imported, takes too long, or a server cannot be asked.
    """
    served = [each for each in project.deployments if each.program == "gunicorn"]
    asked = {
        "settings": project.settings_module,
        "given": project.settings_reason == GIVEN,
        "commands": [arguments(each) for each in served],
        "database": database,
    }
    data = ask(python, timeout, project.home, asked)
    where = project.location(project.settings_file or project.root)
    for deployment in project.deployments:
        deployment.databases = [
            located(alias, entry, deployment.databases, where)
            for alias, entry in data["databases"].items()
        ]
        if data["slots"] is not None:
            deployment.names["DATABASE_SLOTS"] = Value(data["slots"], where)
    errors = []
    for deployment, settings in zip(served, data["gunicorn"], strict=True):
        if isinstance(settings, str):
            errors.append((deployment.where, f"gunicorn's configuration: {settings}"))
            continue
        for name, value in settings.items():
            old = deployment.settings.get(name)
            if old is not None or value != gunicorn.DEFAULTS[name]:
                deployment.settings[name] = Value(value, old.where if old else deployment.where)
    # The values that the source did not tell are known now.
    project.problems = [each for each in project.problems if not each[0].path.endswith(".py")]
    project.problems += errors
    for name, release in data["releases"].items():
        project.requirements.exact.pop(name, None)
        project.requirements.lock(name, release, where)
    project.servers = {alias: server(each) for alias, each in data["servers"].items()}


def arguments(deployment: Deployment) -> list[str]:
    """Return the command line that matters, with the configuration file as found in the tree."""
    found = ["--config", str(deployment.configuration)] if deployment.configuration else []
    for name in COMMAND_LINE:
        value = deployment.command.get(name)
        if value and "$" not in str(value.data):
            found += [f"--{name.replace('_', '-')}", str(value.data)]
    flags = {"preload_app": "--preload", "control_socket_disable": "--no-control-socket"}
    return [*found, *(flag for name, flag in flags.items() if name in deployment.command)]


def ask(python: str, timeout: float, directory: Path, asked: dict[str, Any]) -> dict[str, Any]:
    """Return what the probe finds, run by `python` in `directory`.

    What the project prints is not shown. A project that hangs is ended with its children.

    Raises:
        Problem: The probe failed or took longer than `timeout` seconds.
    """
    program = files("gunicorn_doctor").joinpath("probe.py").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="doctor-") as temporary:
        output = Path(temporary, "result.json")
        errors = Path(temporary, "errors")
        found = shutil.which(python)
        if found is None:
            raise Problem(f"--python {python}: no such program")
        # Absolute, but not resolved: a virtual environment is known by its link.
        command = [
            os.path.abspath(found),
            "-B",
            "-c",
            program,
            json.dumps({**asked, "output": str(output)}),
        ]
        with errors.open("wb") as stream:
            process = subprocess.Popen(
                command,
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stream,
                start_new_session=True,
            )
            try:
                process.wait(timeout)
            except subprocess.TimeoutExpired as error:
                task = "importing the project"
                task += " and asking its database servers" if asked["database"] else ""
                raise Problem(f"{task} took longer than {timeout:g} s") from error
            finally:  # also when the doctor itself is interrupted
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
        if not output.is_file():
            lines = errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            reason = lines[-1] if lines else f"exit code {process.returncode}"
            raise Problem(f"the project cannot be asked: {reason}")
        result: dict[str, Any] = json.loads(output.read_text(encoding="utf-8"))
        if "failed" in result:
            raise Problem(f"the project cannot be asked: {result['failed']}")
        return result


def located(alias: str, entry: dict[str, Any], known: list[Database], where: Location) -> Database:
    """Return an effective entry of DATABASES, with the lines that the source has it on."""
    old = next((each for each in known if each.alias == alias), None)
    return Database(alias, table(entry, old, where), old.where if old else where)


def table(entry: dict[str, Any], old: Database | None, where: Location) -> Table:
    """Return a dictionary as a table of certain values."""
    found = Table()
    for key, data in entry.items():
        place = old.get(key).where if old else where
        value = table(data, None, place or where) if isinstance(data, dict) else data
        found[key] = Value(value, place)
    return found


def server(numbers: list[int | None]) -> Server:
    """Return the limits of a server; PostgreSQL writes -1 for none."""
    maximum, reserved, role, database, others = numbers
    return Server(
        maximum or 0,
        reserved or 0,
        role if role is not None and role >= 0 else None,
        database if database is not None and database >= 0 else None,
        others or 0,
    )
