"""Read Dockerfiles, compose files, Kubernetes manifests and Procfiles: what is started, and how."""

from __future__ import annotations

import io
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from dockerfile_parse import DockerfileParser

from gunicorn_doctor.commands import Start, expand, scripts, starts
from gunicorn_doctor.files import Tree
from gunicorn_doctor.values import Location

POOLERS = re.compile(r"pgbouncer|pgcat|odyssey|supavisor|pgpool|pooler", re.IGNORECASE)
MAX_CONNECTIONS = re.compile(r"\bmax_connections\s*=\s*(\d+)")
HOMELESS = re.compile(
    r"useradd\b(?!.*(\s-m\b|--create-home|\s-d\b|--home))"
    r"|useradd\b.*(--no-create-home|\s-M\b)"
    r"|adduser\b.*(--no-create-home|\s-H\b)"
    r"|adduser\b.*--system(?!.*--home)"
)
WORKLOADS = {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Pod", "Rollout"}
MANIFEST = re.compile(r"^kind:\s*(\w+)", re.MULTILINE)


@dataclass
class Facts:
    """What deployment files say apart from the servers that they start."""

    starts: list[Start] = field(default_factory=list)
    pooler: Location | None = None
    max_connections: tuple[int, Location] | None = None
    read: set[Path] = field(default_factory=set)  # Dockerfiles and scripts that a service uses


class Mapping_(dict[str, Any]):
    """A mapping of a YAML file that knows its line."""

    line = 1


class Loader(yaml.SafeLoader):
    """Loads mappings with their lines. Tags of other tools are read as plain data."""


def construct_mapping(loader: Loader, node: yaml.MappingNode) -> Iterator[Mapping_]:
    """Construct a mapping that knows its line."""
    mapping = Mapping_()
    mapping.line = node.start_mark.line + 1
    yield mapping
    loader.flatten_mapping(node)
    mapping.update({str(key): value for key, value in loader.construct_mapping(node, True).items()})


Loader.add_constructor("tag:yaml.org,2002:map", construct_mapping)
Loader.add_multi_constructor("!", lambda loader, suffix, node: None)


@dataclass
class Image:
    """The last stage of a Dockerfile."""

    path: Path
    environment: dict[str, str]
    copies: dict[str, str]  # destination in the image by source in the tree
    entrypoint: list[str]
    command: list[str]
    line: int
    homeless: str  # why the user of the image has no home directory


class Reader:
    """Reads the deployment files of a tree."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.facts = Facts()

    def read(self) -> Facts:
        """Return what all files say. Files that cannot be read are reported to the tree."""
        documents = list(self.documents())
        for path, document in documents:
            self.search(document, self.tree.location(path))
            if isinstance(document.get("services"), Mapping):
                self.compose(path, document)
        for path in self.tree.named(r"(.*\.)?(Docker|Container)file(\.(?!dockerignore).*)?"):
            if path not in self.facts.read and (image := self.image(path)):
                self.facts.starts += self.run(image, [], {}, self.tree.location(path, image.line))
        self.manifests(documents)
        for path in self.tree.named("Procfile"):
            for number, line in enumerate(self.tree.text(path).splitlines(), 1):
                name, _, command = line.partition(":")
                if re.fullmatch(r"\w+", name):
                    self.command(command, self.tree.location(path, number), {})
        for path in self.tree.named(r".*\.sh|start|.*entrypoint.*"):
            if path not in self.facts.read and path.suffix in {"", ".sh"}:
                self.facts.starts += starts(self.tree.text(path), self.tree.location(path), {})
        return self.facts

    def command(self, command: str, where: Location, environment: dict[str, str]) -> None:
        """Take the servers of a command line, or of the scripts that it calls."""
        found = list(starts(command, where, environment))
        for word in scripts(command.split()):
            if not found and (path := self.tree.script(word, None, {})):
                found += self.script(path, environment)
        self.facts.starts += found

    def script(self, path: Path, environment: dict[str, str]) -> list[Start]:
        """Return the servers that a script starts, and remember that it is used."""
        self.facts.read.add(path)
        return list(starts(self.tree.text(path), self.tree.location(path), environment))

    def image(self, path: Path) -> Image | None:
        """Return the last stage of the Dockerfile at `path`, or None if it has none."""
        parser = DockerfileParser(fileobj=io.BytesIO(self.tree.text(path).encode()))
        stages: dict[str, Image] = {}
        image: Image | None = None
        for step in parser.structure:
            name, value, line = step["instruction"], step["value"], step["startline"] + 1
            if name == "FROM":
                words = value.split()
                base = stages.get(words[0])
                image = Image(path, {}, {}, [], [], line, "")
                if base:
                    image = Image(
                        path,
                        {**base.environment},
                        {**base.copies},
                        base.entrypoint,
                        base.command,
                        base.line,
                        base.homeless,
                    )
                stages[words[-1]] = image
            elif image and name in {"ENV", "ARG"}:
                image.environment.update(assignments(value, image.environment, name == "ENV"))
            elif image and name in {"COPY", "ADD"} and "--from" not in value:
                paths = [word for word in words_of(value) if not word.startswith("--")]
                image.copies.update(dict.fromkeys(paths[:-1], paths[-1] if paths else ""))
            elif image and name == "RUN" and HOMELESS.search(value):
                image.homeless = f"the user in {self.tree.location(path, line)} has no home"
            elif image and name in {"CMD", "ENTRYPOINT"}:
                setattr(image, "command" if name == "CMD" else "entrypoint", words_of(value))
                image.line = line
        if image is None:
            self.tree.report(self.tree.location(path), "the Dockerfile has no FROM")
        return image

    def run(
        self, image: Image, command: list[str], environment: dict[str, str], where: Location
    ) -> list[Start]:
        """Return the servers that an image starts with a command (its own if empty)."""
        known = {**image.environment, **environment}
        words = [*image.entrypoint, *(command or image.command)]
        found = list(starts(shlex.join(words), where, known))
        if len(words) == 1 or not found:  # the shell form is one word
            found = [each for word in words for each in starts(word, where, known)] or found
        for word in scripts(" ".join(words).split()):
            path = self.tree.script(word, image.path.parent, image.copies)
            if not found and path:
                found = self.script(path, known)
        for each in found:
            each.unwritable = each.unwritable or image.homeless
        return found

    def documents(self) -> Iterator[tuple[Path, Mapping_]]:
        """Yield the documents of compose files and of Kubernetes manifests."""
        for path in self.tree.named(r".*\.ya?ml"):
            text = self.tree.text(path)
            compose = re.search(r"compose.*\.ya?ml$", path.name)
            kinds = set(MANIFEST.findall(text)) if "apiVersion:" in text else set()
            if not compose and not kinds:
                continue
            try:
                for document in yaml.load_all(text, Loader):
                    if isinstance(document, Mapping_):
                        yield path, document
            except yaml.YAMLError as error:
                mark = getattr(error, "problem_mark", None)
                line = mark.line + 1 if mark else 1
                hint = ": a template; check what it is rendered to" if "{{" in text else ""
                if compose or kinds & WORKLOADS:
                    self.tree.report(self.tree.location(path, line), f"YAML cannot be read{hint}")

    def search(self, node: Any, where: Location) -> None:
        """Look for PostgreSQL's max_connections and for connection poolers, at any depth."""
        if isinstance(node, Mapping_):
            where = Location(where.path, node.line)
            image = str(node.get("image", ""))
            if POOLERS.search(image) and "session" not in json.dumps(node, default=str).lower():
                self.facts.pooler = where
            if node.get("kind") == "Pooler":
                self.facts.pooler = where
            if str(node.get("max_connections", "")).isdigit():
                self.facts.max_connections = int(node["max_connections"]), where
        for child in node.values() if isinstance(node, dict) else node:
            if isinstance(child, dict | list):
                self.search(child, where)
            elif found := MAX_CONNECTIONS.search(str(child)):
                self.facts.max_connections = int(found[1]), where

    def compose(self, path: Path, document: Mapping_) -> None:
        """Take the servers of a compose file's services."""
        for service in document["services"].values():
            if not isinstance(service, Mapping_):
                continue
            where = self.tree.location(path, service.line)
            build = service.get("build") or {}
            build = {"context": build} if isinstance(build, str) else build
            environment = {
                **pairs(build.get("args")),
                **self.environment_files(path, service.get("env_file")),
                **pairs(service.get("environment")),
            }
            command = words_of(service.get("command") or [])
            if "entrypoint" in service:
                command = [*words_of(service["entrypoint"] or []), *command]
            image = self.compose_image(path, build) if build else None
            if image and not command:
                self.facts.read.add(image.path)  # otherwise its own command is checked as well
            image = image or Image(path, {}, {}, [], [], 1, "")
            found = self.run(image, command, environment, where)
            deploy = service.get("deploy") or {}
            replicas = deploy.get("replicas") or service.get("scale") or 1
            for each in found:
                each.replicas = int(replicas) if str(replicas).isdigit() else 1
                if service.get("read_only") is True:
                    each.unwritable = f"the file system is read-only ({where})"
            self.facts.starts += found

    def compose_image(self, path: Path, build: Mapping[str, Any]) -> Image | None:
        """Return the image that a compose service builds, or None if it is not in the tree."""
        context = path.parent / str(build.get("context") or ".")
        file = context / str(build.get("dockerfile") or "Dockerfile")
        inside = file.is_file() and file.resolve().is_relative_to(self.tree.root)
        return self.image(file.resolve()) if inside else None

    def environment_files(self, path: Path, names: Any) -> dict[str, str]:
        """Return the variables of the env_file entries that are in the tree."""
        found: dict[str, str] = {}
        for name in [names] if isinstance(names, str | dict) else names or []:
            file = path.parent / str(name["path"] if isinstance(name, dict) else name)
            if file.is_file():
                lines = (line.strip() for line in self.tree.text(file).splitlines())
                found.update(pairs([line for line in lines if not line.startswith("#")]))
        return found

    def manifests(self, documents: list[tuple[Path, Mapping_]]) -> None:
        """Take the servers of Kubernetes workloads, with the largest number of replicas."""
        maximum: dict[str, int] = {}
        maps: dict[str, dict[str, str]] = {}
        for _, document in documents:
            name = str((document.get("metadata") or {}).get("name"))
            if document.get("kind") == "ConfigMap":
                maps[name] = pairs(document.get("data"))
            if document.get("kind") == "HorizontalPodAutoscaler":
                spec = document.get("spec") or {}
                target = str((spec.get("scaleTargetRef") or {}).get("name"))
                maximum[target] = int(spec.get("maxReplicas") or 1)
        images = [each for each in self.facts.starts]
        for path, document in documents:
            if document.get("kind") not in WORKLOADS:
                continue
            spec = document.get("spec") or {}
            name = str((document.get("metadata") or {}).get("name"))
            replicas = maximum.get(name) or spec.get("replicas") or 1
            pod = (spec.get("template") or {}).get("spec") or spec
            for container in pod.get("containers") or []:
                found = self.container(path, container, images, maps)
                for each in found:
                    each.replicas = int(replicas)
                self.facts.starts += found

    def container(
        self, path: Path, spec: Mapping_, images: list[Start], maps: dict[str, dict[str, str]]
    ) -> list[Start]:
        """Return the servers of one container; without a command those of the one Dockerfile."""
        where = self.tree.location(path, spec.line)
        environment: dict[str, str] = {}
        for source in spec.get("envFrom") or []:
            environment.update(maps.get(str((source.get("configMapRef") or {}).get("name")), {}))
        environment.update(
            {
                str(each.get("name")): str(each["value"])
                for each in spec.get("env") or []
                if "value" in each
            }
        )
        words = [*words_of(spec.get("command") or []), *words_of(spec.get("args") or [])]
        empty = Image(path, {}, {}, [], [], 1, "")
        found = self.run(empty, words, environment, where) if words else []
        image = str(spec.get("image", "")).split(":")[0]
        if not words and len(images) == 1 and not re.search(r"postgres|redis|nginx|bouncer", image):
            only = images[0]
            found = [
                Start(
                    only.program,
                    only.arguments,
                    where,
                    {**only.environment, **environment},
                    only.varying,
                    1,
                    only.unwritable,
                )
            ]
        if (spec.get("securityContext") or {}).get("readOnlyRootFilesystem") is True:
            for each in found:
                each.unwritable = f"the root file system is read-only ({where})"
        return found


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


def pairs(value: Any) -> dict[str, str]:
    """Return the variables of a mapping or of a list of NAME=value."""
    if isinstance(value, Mapping):
        items = [(str(name), each) for name, each in value.items()]
    else:
        items = [
            (name.strip(), text.strip().strip("'\""))
            for name, separator, text in (str(line).partition("=") for line in value or [])
            if separator
        ]
    return {
        name: str(each).lower() if isinstance(each, bool) else str(each)
        for name, each in items
        if each is not None and "$" not in str(each)
    }
