"""Read Dockerfiles."""

from __future__ import annotations

import copy
import io
import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dockerfile_parse import DockerfileParser

from gunicorn_doctor.commands import expand
from gunicorn_doctor.files import Tree

HOMELESS = re.compile(
    r"useradd\b(?!.*(\s-m\b|--create-home|\s-d\b|--home))"
    r"|useradd\b.*(--no-create-home|\s-M\b)"
    r"|adduser\b.*(--no-create-home|\s-H\b)"
    r"|adduser\b.*--system(?!.*--home)"
)


@dataclass
class Image:
    """One stage of a Dockerfile."""

    path: Path
    line: int = 0  # of the command; 0 if there is no Dockerfile
    environment: dict[str, str] = field(default_factory=dict)
    copies: dict[str, str] = field(default_factory=dict)  # destination by source in the tree
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    homeless: str = ""  # where a user without a home directory is created
    unwritable: str = ""  # why the user that runs the command has no home directory

    def apply(self, tree: Tree, name: str, value: str, line: int) -> None:
        """Take one instruction."""
        if name in {"ENV", "ARG"}:
            self.environment.update(assignments(value, self.environment, name == "ENV"))
        elif name in {"COPY", "ADD"} and "--from" not in value:
            words = words_of(value) if value.startswith("[") else value.split()
            paths = [word for word in words if not word.startswith("--")]
            self.copies.update(dict.fromkeys(paths[:-1], paths[-1] if paths else ""))
        elif name == "RUN" and HOMELESS.search(value):
            self.homeless = f"the user in {tree.location(self.path, line)} has no home"
        elif name == "USER":
            self.unwritable = "" if value.split(":")[0] in {"0", "root"} else self.homeless
        elif name in {"CMD", "ENTRYPOINT"}:
            setattr(self, "command" if name == "CMD" else "entrypoint", words_of(value))
            self.line = line


def read_image(tree: Tree, path: Path, target: str = "") -> Image | None:
    """Return a stage, by default the last, of the Dockerfile at `path`; None if it has none."""
    parser = DockerfileParser(fileobj=io.BytesIO(tree.text(path).encode()))
    stages: dict[str, Image] = {}
    image: Image | None = None
    for step in parser.structure:
        name, value, line = step["instruction"], step["value"], step["startline"] + 1
        if name == "FROM":
            words = value.split()
            image = copy.deepcopy(stages.get(words[0])) or Image(path, line)
            stages[words[-1]] = image
        elif image:
            image.apply(tree, name, value, line)
    if image is None:
        tree.report(tree.location(path), "the Dockerfile has no FROM")
    return stages.get(target, image)


def words_of(value: Any) -> list[str]:
    """Return a command in exec form as words; in shell form as one word for the shell."""
    if isinstance(value, list):
        return [str(word) for word in value]
    text = str(value).strip()
    if text.startswith("["):
        try:
            return [str(word) for word in json.loads(text)]
        except ValueError:
            pass
    return [text] if text else []


def assignments(text: str, known: Mapping[str, str], keep_bare: bool) -> dict[str, str]:
    """Return the variables of an ENV or ARG instruction, in both of its forms."""
    try:
        words = shlex.split(text)
    except ValueError:
        return {}
    if keep_bare and words and "=" not in words[0]:
        words = [f"{words[0]}={' '.join(words[1:])}"]
    found: dict[str, str] = {}
    for word in words:
        name, separator, value = word.partition("=")
        expanded, _ = expand(value, {**known, **found})
        if separator and "$" not in expanded:
            found[name] = expanded
    return found
