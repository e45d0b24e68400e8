"""Where each configuration is installed: a generated project, or a peer's own environment."""

from itertools import count
from pathlib import Path

from baking.combinations import Combination
from baking.interpreters import NoInterpreter
from baking.project import CommandFailed, Project
from bench.configurations import Configuration


class Unavailable(Exception):
    """A configuration cannot be measured here; the message says why."""


class Environments:
    """Projects and virtual environments below `directory`, each made once."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._projects: dict[Combination, Project] = {}
        self._peers: dict[tuple[str, ...], Path] = {}
        self._number = count()

    def project(self, combination: Combination) -> Project:
        """A generated project, installed. Raises Unavailable."""
        if combination not in self._projects:
            output = self.directory / str(combination)
            try:
                self._projects[combination] = Project(output, combination)
            except NoInterpreter as error:
                raise Unavailable(str(error)) from error
            except CommandFailed as error:
                raise Unavailable(f"installing failed: {error}") from error
        return self._projects[combination]

    def programs(self, configuration: Configuration) -> Path:
        """The directory with the gunicorn that serves `configuration`. Raises Unavailable."""
        project = self.project(configuration.project)
        if configuration.is_service:
            return project.directory / ".venv" / "bin"
        key = (str(configuration.project), *configuration.requirements)
        if key not in self._peers:
            self._peers[key] = self._install(project, configuration)
        return self._peers[key] / "bin"

    def versions(self, configuration: Configuration) -> dict[str, str]:
        """What is installed, by name."""
        python = self.programs(configuration) / "python"
        project = self.project(configuration.project)
        listed = _run(project, "uv", "pip", "list", "--format=freeze", "--python", str(python))
        pairs = [line.split("==") for line in listed.splitlines() if "==" in line]
        said = _run(project, str(python), "--version")
        return {name: version for name, version in pairs} | {"Python": said.split()[-1]}

    def _install(self, project: Project, configuration: Configuration) -> Path:
        """A peer's environment, with the very releases that the generated project has."""
        where = self.directory / f"peer-{next(self._number)}"
        constraints = where.with_suffix(".txt")
        _run(project, "uv", "venv", "--quiet", str(where))
        # Without the project's own packages: a peer has none of them.
        export = ["uv", "export", "--quiet", "--no-hashes", "--no-annotate", "--no-dev"]
        export += ["--no-emit-local"]
        constraints.write_text(_run(project, *export))
        install = ["uv", "pip", "install", "--quiet", "--python", str(where / "bin" / "python")]
        given = ["--constraint", str(constraints), *configuration.requirements]
        _run(project, *install, *given)
        return where


def _run(project: Project, *command: str) -> str:
    """The output of `command` in the project's environment. Raises Unavailable."""
    done = project.attempt(*command)
    if done.returncode:
        raise Unavailable(f"{' '.join(command[:3])}: {done.stderr.strip()[-500:]}")
    return done.stdout
