"""Clone a template, list its versions, and bake one of them."""

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gunicorn_upkeep import git
from gunicorn_upkeep.git import Refused
from gunicorn_upkeep.record import NAME


@dataclass(frozen=True)
class Version:
    """A version of the template, checked out."""

    name: str
    source: Path

    def prompts(self) -> dict[str, Any]:
        """Return the default of each prompt; a list is that of its choices, the default first.

        Raises:
            Refused: The version is no template for cookiecutter.
        """
        try:
            found = json.loads((self.source / "cookiecutter.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise Refused(f"{self.name} of the template has no valid cookiecutter.json") from None
        return {name: default for name, default in found.items() if not name.startswith("_")}

    def check(self, answers: dict[str, str], *, unknown_allowed: bool = False) -> None:
        """Check that each answer belongs to a prompt and, where it has choices, is one of them.

        Raises:
            Refused: One does not.
        """
        prompts = self.prompts()
        for name, value in answers.items():
            if name not in prompts:
                if unknown_allowed:
                    continue
                raise Refused(f"{name} is not a prompt of {self.name}: {', '.join(prompts)}")
            choices = prompts[name]
            if isinstance(choices, list) and value not in choices:
                raise Refused(f"{name}={value} is not offered by {self.name}: {', '.join(choices)}")

    def bake(self, answers: dict[str, str], output: Path) -> tuple[Path, dict[str, Any]]:
        """Bake the answers below `output`, a new directory.

        Returns:
            The directory of the project, without its record, and the recorded answers with their
            defaults and private values.

        Raises:
            Refused: The template refuses the answers.
        """
        self.check(answers, unknown_allowed=True)
        output.mkdir()
        # A configuration of its own: the user's defaults are no answers of this service, and the
        # replay files of the user stay as they are.
        config = output.with_suffix(".json")
        folders = {name: str(output) + name for name in ("cookiecutters_dir", "replay_dir")}
        config.write_text(json.dumps(folders))
        options = ["--no-input", "--config-file", str(config), "--output-dir", str(output)]
        given = [f"{name}={value}" for name, value in answers.items()]
        # A process of its own: what hooks print must not mix with our output.
        done = subprocess.run(
            [sys.executable, "-m", "cookiecutter", *options, str(self.source), *given],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise Refused(_refusal(done))
        (project,) = output.iterdir()
        record = project / NAME
        if not record.exists():  # a version before the first that records answers
            return project, dict(answers)
        context: dict[str, Any] = json.loads(record.read_text())["context"]["cookiecutter"]
        record.unlink()
        return project, context


def _refusal(done: subprocess.CompletedProcess[str]) -> str:
    """Return the line of cookiecutter's errors that names the cause: a hook's, or an exception."""
    lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
    if not lines:
        return "cookiecutter failed without a message"
    return lines[-1] if lines[0].startswith("Traceback") else lines[0]


class Template:
    """A clone of the template's repository in a temporary directory."""

    def __init__(self, address: str, workspace: Path, directory: str) -> None:
        """Clone `address` below `workspace`; the template is in its subdirectory `directory`.

        Raises:
            Refused: It cannot be cloned.
        """
        self.clone = workspace / "clone"
        self.workspace = workspace
        self.directory = directory
        done = git.run("clone", "--quiet", "--no-checkout", "--", address, self.clone)
        if done.returncode:
            raise Refused(f"template {address} cannot be cloned: {git.reason(done)}")

    def newest(self, present: str) -> str:
        """Return the newest release among the tags, such as v1.2.0, or `present` if that is newer.

        A service may be at a commit after the release, or at a candidate for the next one.

        Raises:
            Refused: No tag is one.
        """
        tags = git.output("tag", "--list", "--sort=-version:refname", "v*", cwd=self.clone)
        releases = [tag for tag in tags.splitlines() if re.fullmatch(r"v\d+(\.\d+)*", tag)]
        if not releases:
            raise Refused("the template has no tagged version")
        contains = "merge-base", "--is-ancestor", f"refs/tags/{releases[0]}", self._find(present)
        return releases[0] if git.run(*contains, cwd=self.clone).returncode else present

    def tag(self, version: str) -> str:
        """Return the tag of a version that is given as 1.2.0 or v1.2.0.

        Raises:
            Refused: There is no such tag.
        """
        for name in (version, f"v{version}"):
            if self._commit(f"refs/tags/{name}"):
                return name
        raise Refused(f"the template has no version {version}")

    def version(self, name: str) -> Version:
        """Check out a tag or commit, and return it.

        Raises:
            Refused: The template does not have it.
        """
        commit = self._find(name)
        if not commit:
            raise Refused(f"the template has no version {name}, which .cruft.json names")
        directory = self.workspace / f"template-{commit}"
        if not directory.exists():
            git.output("worktree", "add", "--quiet", "--detach", directory, commit, cwd=self.clone)
        return Version(name, directory / self.directory)

    def _find(self, name: str) -> str:
        """Return the hash of the commit of a tag, or of a commit, or nothing."""
        return self._commit(f"refs/tags/{name}") or self._commit(name)

    def _commit(self, name: str) -> str:
        """Return the hash of the commit of a reference, or nothing if it does not exist."""
        arguments = "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"
        return git.run(*arguments, cwd=self.clone).stdout.strip()
