"""Find what compose files, Kubernetes manifests, Procfiles and images start, and how."""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from gunicorn_doctor.commands import Start, scripts, starts
from gunicorn_doctor.files import Tree
from gunicorn_doctor.images import Image, read_image, words_of
from gunicorn_doctor.values import Location

POOLERS = re.compile(r"pgbouncer|pgcat|odyssey|supavisor|pgpool|pooler", re.IGNORECASE)
MAX_CONNECTIONS = re.compile(r"\bmax_connections\s*=\s*(\d+)")
SYSTEM = re.compile(r"/(usr/)?s?bin/")  # programs of the image's distribution
WORKLOADS = {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Pod", "Rollout"}
MANIFEST = re.compile(r"^kind:\s*(\w+)", re.MULTILINE)


@dataclass
class Facts:
    """What deployment files say."""

    starts: list[Start] = field(default_factory=list)
    pooler: Location | None = None
    max_connections: tuple[int, Location] | None = None
    unchecked: list[str] = field(default_factory=list)  # commands that are not in the tree
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


class Reader:
    """Reads the deployment files of a tree."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.facts = Facts()

    def read(self) -> Facts:
        """Return what all files say. Files that cannot be read are reported to the tree."""
        documents = list(self.documents())
        for path, document in documents:
            with self.guard(path):
                self.search(document, self.tree.location(path), set())
                if isinstance(document.get("services"), Mapping):
                    self.compose(path, document)
        for path in self.tree.named(r"(.*\.)?(Docker|Container)file(\.(?!dockerignore).*)?"):
            if path not in self.facts.read:
                with self.guard(path):
                    self.dockerfile(path)
        self.manifests(documents)
        for path in self.tree.named("Procfile"):
            for number, line in enumerate(self.tree.text(path).splitlines(), 1):
                name, _, command = line.partition(":")
                if re.fullmatch(r"[\w-]+", name):
                    self.command(command, self.tree.location(path, number))
        for path in self.tree.named(r".*\.sh|start|.*entrypoint[\w-]*"):
            if path not in self.facts.read and self.tree.text(path).startswith("#!"):
                self.facts.starts += starts(self.tree.text(path), self.tree.location(path), {})
        return self.facts

    @contextlib.contextmanager
    def guard(self, path: Path) -> Iterator[None]:
        """Report a file that has another form than its kind of file should have."""
        try:
            yield
        except (AttributeError, IndexError, KeyError, TypeError, ValueError, RecursionError):
            self.tree.report(self.tree.location(path), "the file has an unusual form")

    def dockerfile(self, path: Path) -> None:
        """Take the servers that an image starts by itself."""
        if image := read_image(self.tree, path):
            self.facts.starts += self.run(image, [], {}, self.tree.location(path, image.line))

    def command(self, command: str, where: Location) -> None:
        """Take the servers of a command line, or of the scripts that it calls."""
        found = list(starts(command, where, {}))
        for word in scripts(command.split()):
            if not found and (path := self.tree.script(word, None, {})):
                found += self.script(path, {})
        self.facts.starts += found

    def script(self, path: Path, environment: dict[str, str]) -> list[Start]:
        """Return the servers that a script starts, and remember that it is used."""
        self.facts.read.add(path)
        return list(starts(self.tree.text(path), self.tree.location(path), environment))

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
            elif not found and image.line and word == words[0] and not SYSTEM.match(word):
                self.facts.unchecked.append(f"{word}, started by {where}, is not in the project")
        for each in found:
            each.unwritable = each.unwritable or image.unwritable
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
                    several = isinstance(document, dict) and document.get("kind") == "List"
                    for each in (document.get("items") or []) if several else [document]:
                        if isinstance(each, Mapping_):
                            yield path, each
            except (yaml.YAMLError, TypeError, ValueError, RecursionError) as error:
                mark = getattr(error, "problem_mark", None)
                line = mark.line + 1 if mark else 1
                hint = ": a template; check what it is rendered to" if "{{" in text else ""
                if compose or kinds & {"List", *WORKLOADS}:
                    self.tree.report(self.tree.location(path, line), f"YAML cannot be read{hint}")

    def search(self, node: Any, where: Location, seen: set[int]) -> None:
        """Look for PostgreSQL's max_connections and for connection poolers, at any depth.

        `seen` has the nodes that were searched: aliases of YAML may repeat them without end.
        """
        seen.add(id(node))
        if isinstance(node, Mapping_):
            where = Location(where.path, node.line)
            session = "session" in str(node.get("environment")).lower()
            if POOLERS.search(str(node.get("image", ""))) and not session:
                self.facts.pooler = where
            if node.get("kind") == "Pooler":
                self.facts.pooler = where
            if str(node.get("max_connections", "")).isdigit():
                self.facts.max_connections = int(node["max_connections"]), where
        for child in node.values() if isinstance(node, dict) else node:
            if isinstance(child, dict | list):
                if id(child) not in seen:
                    self.search(child, where, seen)
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
            image = image or Image(path)
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
        if not self.tree.inside(file):
            return None
        return read_image(self.tree, file.resolve(), str(build.get("target")))

    def environment_files(self, path: Path, names: Any) -> dict[str, str]:
        """Return the variables of the env_file entries that are in the tree."""
        found: dict[str, str] = {}
        for name in [names] if isinstance(names, str | dict) else names or []:
            file = path.parent / str(name["path"] if isinstance(name, dict) else name)
            if self.tree.inside(file):
                lines = (line.strip() for line in self.tree.text(file).splitlines())
                found.update(pairs([line for line in lines if not line.startswith("#")]))
        return found

    def manifests(self, documents: list[tuple[Path, Mapping_]]) -> None:
        """Take the servers of Kubernetes workloads, with the largest number of replicas."""
        maximum: dict[str, int] = {}
        maps: dict[str, dict[str, str]] = {}
        for path, document in documents:
            with self.guard(path):
                self.context(document, maximum, maps)
        programs = {each.program for each in self.facts.starts}
        image = self.facts.starts[0] if len(programs) == 1 else None
        for path, document in documents:
            if document.get("kind") in WORKLOADS:
                with self.guard(path):
                    self.workload(path, document, image, maximum, maps)

    def context(
        self, document: Mapping_, maximum: dict[str, int], maps: dict[str, dict[str, str]]
    ) -> None:
        """Take what other manifests say of workloads: variables, and the most replicas."""
        spec = document.get("spec") or {}
        if document.get("kind") == "ConfigMap":
            maps[document["metadata"]["name"]] = pairs(document.get("data"))
        if document.get("kind") == "HorizontalPodAutoscaler":
            maximum[spec["scaleTargetRef"]["name"]] = int(spec["maxReplicas"])

    def workload(
        self,
        path: Path,
        document: Mapping_,
        image: Start | None,
        maximum: dict[str, int],
        maps: dict[str, dict[str, str]],
    ) -> None:
        """Take the servers of one workload."""
        spec = document.get("spec") or {}
        name = str((document.get("metadata") or {}).get("name"))
        replicas = maximum.get(name) or spec.get("replicas") or 1
        pod = (spec.get("template") or {}).get("spec") or spec
        for container in pod.get("containers") or []:
            found = self.container(path, container, image, maps)
            for each in found:
                each.replicas = int(replicas)
            self.facts.starts += found

    def container(
        self, path: Path, spec: Mapping_, only: Start | None, maps: dict[str, dict[str, str]]
    ) -> list[Start]:
        """Return the servers of one container; without a command that of the project's image."""
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
        found = self.run(Image(path), words, environment, where) if words else []
        foreign = re.search(
            r"postgres|redis|nginx|bouncer|celery|memcached|rabbitmq|exporter|envoy",
            str(spec.get("image")),
        )
        if not words and only and not foreign:
            environment = {**only.environment, **environment}
            found = [replace(only, where=where, environment=environment)]
        if (spec.get("securityContext") or {}).get("readOnlyRootFilesystem") is True:
            for each in found:
                each.unwritable = f"the root file system is read-only ({where})"
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
