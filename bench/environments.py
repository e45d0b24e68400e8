"""The generated projects that are measured, each with what its peers need in its environment."""

from pathlib import Path

from baking.combinations import Combination
from baking.interpreters import NoInterpreter
from baking.project import CommandFailed, Project
from bench.configurations import Configuration


class Unavailable(Exception):
    """A configuration cannot be measured here; the message says why."""


class Environments:
    """Projects below `directory`, each generated and installed once."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._projects: dict[Combination, Project] = {}

    def project(self, combination: Combination) -> Project:
        """Return the project, ready to serve. Raise Unavailable."""
        if combination not in self._projects:
            try:
                project = Project(self._directory / str(combination), combination)
            except (NoInterpreter, CommandFailed) as error:
                raise Unavailable(str(error)) from error
            self._projects[combination] = project
        return self._projects[combination]

    def install(self, configuration: Configuration) -> None:
        """Install what serves `configuration`. Raise Unavailable or CommandFailed.

        A peer's packages come from the same index as the project's, in their newest releases.
        """
        project = self.project(configuration.project)
        if configuration.requirements:
            python = str(_python(project))
            project.run("uv", "pip", "install", "--python", python, *configuration.requirements)

    def versions(self, configuration: Configuration) -> dict[str, str]:
        """Return the releases of all that is installed, by name. Raise CommandFailed."""
        project = self.project(configuration.project)
        python = str(_python(project))
        listed = project.run("uv", "pip", "list", "--format=freeze", "--python", python).stdout
        pairs = dict(line.split("==", 1) for line in listed.splitlines() if "==" in line)
        return {"Python": project.run(python, "--version").stdout.split()[-1], **pairs}


def _python(project: Project) -> Path:
    """Return the Python of the project: uv may find another one."""
    return project.directory / ".venv" / "bin" / "python"
