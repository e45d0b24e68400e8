"""Layer 1: read a project as source. Nothing of it is imported or run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from gunicorn_doctor import gunicorn, requirements
from gunicorn_doctor.commands import Start
from gunicorn_doctor.containers import Reader
from gunicorn_doctor.files import Tree
from gunicorn_doctor.project import GIVEN, Database, Deployment, Project
from gunicorn_doctor.source import Interpreter
from gunicorn_doctor.values import Location, Problem, Value

SETTINGS_MODULE = re.compile(r"""DJANGO_SETTINGS_MODULE["']?\s*(?:,|=|\]\s*=)\s*["']?([\w.]+)""")
PRODUCTION = re.compile(r"(^|[._])(prod|production|live)$")
DEVELOPMENT = re.compile(r"(^|[._])(dev|develop|development|local|test|tests|testing|ci)$")
CONFIGURATION = r"gunicorn[\w.-]*\.py|[\w-]*gunicorn[\w-]*conf[\w-]*\.py"


def read(path: Path, settings: str = "") -> Project:
    """Return what the source of the project in `path` says.

    Args:
        path: A directory.
        settings: The settings module, or empty to pick the one for production.

    Raises:
        Problem: It is no directory, or no Django project.
    """
    if not path.is_dir():
        raise Problem(f"{path} is not a directory")
    return StaticReader(path.resolve()).project(settings)


class StaticReader:
    """Reads one project."""

    def __init__(self, root: Path) -> None:
        self.problems: list[tuple[Location, str]] = []
        self.tree = Tree(root, self.report)
        self.root = root
        manage = self.tree.named(r"manage\.py")
        self.home = manage[0].parent if manage else root
        self.facts = Reader(self.tree).read()
        self.paths = list(dict.fromkeys([self.home, root, self.home / "src", root / "src"]))
        self.settings_file: Path | None = None

    def report(self, where: Location, text: str) -> None:
        """Remember what is not understood, once."""
        if (where, text) not in self.problems:
            self.problems.append((where, text))

    def project(self, settings: str) -> Project:
        """Return the project.

        Raises:
            Problem: There is no Django project.
        """
        module, reason = self.pick(settings)
        interpreter = Interpreter(self.root, self.paths, {}, self.report)
        self.settings_file = interpreter.find(module) if module else None
        if module and self.settings_file is None:
            raise Problem(f"the settings module {module} ({reason}) is not in {self.root}")
        if self.settings_file is None:
            raise Problem(
                f"no Django project found in {self.root}: no DJANGO_SETTINGS_MODULE that is in"
                " it was found; give --settings"
            )
        project = Project(self.root, self.home, module, self.settings_file, reason)
        project.requirements = requirements.read(self.tree, self.paths[:2])
        project.pooler, project.max_connections = self.facts.pooler, self.facts.max_connections
        for start in self.starts():
            for deployment in self.deployments(start):
                if deployment not in project.deployments:
                    project.deployments.append(deployment)
        names = r"(a|w)sgi\.py|manage\.py|__init__\.py|" + CONFIGURATION
        for path in {*self.tree.named(names), self.settings_file}:
            project.texts[path] = self.tree.text(path)
        for deployment in project.deployments:
            if deployment.configuration:
                project.texts[deployment.configuration] = self.tree.text(deployment.configuration)
        project.problems = self.problems
        project.unchecked += self.facts.unchecked
        return project

    def pick(self, given: str) -> tuple[str, str]:
        """Return the settings module for production, and where it is named."""
        if given:
            return given, GIVEN
        finder = Interpreter(self.root, self.paths, {}, self.report)
        found: dict[str, str] = {}
        for name, how, where in self.named_modules():
            if finder.find(name):
                found.setdefault(name, f"{how} {where}")
            else:
                self.report(where, f"the settings module {name} is not in the project")
        if not found:
            return "", ""
        ranked = sorted(found, key=lambda name: bool(DEVELOPMENT.search(name)))
        module = min(ranked, key=lambda name: not PRODUCTION.search(name))
        file = finder.find(module)
        package = module.rpartition(".")[0] if DEVELOPMENT.search(module) else ""
        if file and file.name == "__init__.py" and "include(" not in self.tree.text(file):
            package = module
        for name in ("production", "prod") if package and not PRODUCTION.search(module) else ():
            if finder.find(f"{package}.{name}"):
                return f"{package}.{name}", f"beside {module}, which is {found[module]}"
        return module, found[module]

    def named_modules(self) -> Iterator[tuple[str, str, Location]]:
        """Yield each settings module that the project names, how, and where."""
        for start in self.facts.starts:
            if name := start.environment.get("DJANGO_SETTINGS_MODULE"):
                yield name, "set for", start.where
        for path in self.tree.named(r"wsgi\.py|asgi\.py") + self.tree.named(r"manage\.py"):
            text = self.tree.text(path)
            for match in SETTINGS_MODULE.finditer(text):
                line = text.count("\n", 0, match.start()) + 1
                yield match[1], "named in", self.tree.location(path, line)

    def starts(self) -> list[Start]:
        """Return the start commands; without one, gunicorn with its own file if there is one."""
        if self.facts.starts:
            return self.facts.starts
        found = self.tree.named(r"gunicorn\.conf\.py") or self.tree.named(CONFIGURATION)
        if found:
            path = found[0]
            arguments = ["-c", str(path)]
            return [Start("gunicorn", arguments, self.tree.location(path))]
        return [Start("", [], self.location())]

    def location(self) -> Location:
        """Return the location of the settings module."""
        return self.tree.location(self.settings_file or self.root)

    def deployments(self, start: Start) -> list[Deployment]:
        """Return what holds where a command starts a server, for each possible worker class."""
        interpreter = Interpreter(self.root, self.paths, start.environment, self.report)
        command = gunicorn.parse(start.arguments, start.where, start.varying)
        settings, path = command, None
        if start.program == "gunicorn":
            settings, path = self.gunicorn(start, command, interpreter)
        names = interpreter.module(self.settings_file) if self.settings_file else {}
        for word in start.varying:
            if word.startswith("$") and word not in (str(each.text) for each in command.values()):
                self.report(start.where, f"the arguments `{word}` of {start.program}")
        worker_class = settings.get("worker_class", Value("sync", start.where))
        if worker_class.doubtful:
            self.report(worker_class.where or start.where, f"worker_class is {worker_class}")
        return [
            Deployment(
                start.program,
                {**settings, "worker_class": each} if start.program == "gunicorn" else settings,
                self.databases(names),
                names,
                start.where,
                start.replicas,
                start.unwritable,
                path,
                command,
            )
            for each in list(worker_class.options()) or [worker_class]
        ]

    def gunicorn(
        self, start: Start, command: dict[str, Value], interpreter: Interpreter
    ) -> tuple[dict[str, Value], Path | None]:
        """Return gunicorn's settings by its own order of precedence, and its file."""
        try:
            extra = shlex.split(start.environment.get("GUNICORN_CMD_ARGS", ""))
        except ValueError as error:
            self.report(start.where, f"GUNICORN_CMD_ARGS: {error}")
            extra = []
        variables = gunicorn.parse(extra, start.where, set())
        named = command.get("config") or variables.get("config")
        if named and not named.known:
            self.report(start.where, f"gunicorn's configuration is {named}")
        path = self.configuration(named.string() if named else "", interpreter)
        if path is None and named and named.string():
            self.report(start.where, f"cannot find gunicorn's configuration {named.string()}")
        settings: dict[str, Value] = {"worker_class": Value("sync", start.where)}
        concurrency = start.environment.get("WEB_CONCURRENCY")
        settings["workers"] = Value(
            concurrency or 1, start.where, concurrency is None, "WEB_CONCURRENCY"
        )
        if path:
            names = interpreter.module(path)
            settings.update({key: names[key] for key in names if key in gunicorn.SETTINGS})
        command.update({key: variables[key] for key in variables if key not in command})
        return {**settings, **command}, path

    def configuration(self, name: str, interpreter: Interpreter) -> Path | None:
        """Return gunicorn's configuration file; without a name the one that it finds itself."""
        if name.startswith("python:"):
            return interpreter.find(name.removeprefix("python:"))
        wanted = name.removeprefix("file:") or "gunicorn.conf.py"
        parts = [part for part in wanted.split("/") if part not in {"", ".", ".."}]
        if Path(wanted).is_absolute() and Path(wanted) in self.tree.files:
            return Path(wanted)
        for base in self.paths:
            for start in range(len(parts)):
                candidate = base.joinpath(*parts[start:])
                if candidate.is_file():
                    return candidate
        return next(iter(self.tree.named(re.escape(parts[-1]))), None) if parts else None

    def databases(self, names: dict[str, Value]) -> list[Database]:
        """Return the entries of DATABASES; what is not understood is reported."""
        value = names.get("DATABASES")
        if value is None:
            return []
        if value.doubtful:
            self.report(value.where or self.location(), f"DATABASES is {value}")
        found: list[Database] = []
        for tables in value.tables():
            for alias, entry in tables.items():
                where = entry.where or value.where or self.location()
                if entry.doubtful:
                    self.report(where, f"DATABASES[{alias!r}] is {entry}")
                found += [Database(alias, table, where) for table in entry.tables()]
        for database in found:
            for key in ("ENGINE", "CONN_MAX_AGE", "OPTIONS"):
                item = database.get(key)
                if item.doubtful:
                    self.report(item.where or database.where, f"{key} is {item}")
        return found
