"""Read from Kubernetes manifests how many pods may run, and what they connect to.

A Deployment's label `app.kubernetes.io/component` says what it is: `web` is gunicorn, `pgbouncer`
is the pooler. Any other workload has the annotation `connection-slots/connections`, the most
connections that one of its pods opens.
"""

import configparser
import math
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from connection_slots.budget import Pooler, UnknownBudget

COMPONENT = "app.kubernetes.io/component"
CONNECTIONS = "connection-slots/connections"
WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob")

# Keys of a kustomization.yaml that concern neither the number of pods nor their environment.
HARMLESS = {"apiVersion", "kind", "resources", "namespace", "labels", "images"}

# What an entry of [databases] or [users] in pgbouncer.ini may set for itself alone.
OWN_SIZE = re.compile(r"\b(pool_size|reserve_pool(_size)?|pool_mode)\s*=")

RENDER_TAKES = 60  # seconds, at most, for `kubectl kustomize`

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """What the manifests run at most.

    `replaced` returns how many a deploy may run beside so many replicas. `command` is what the web
    container starts, if it is not the command of its image.
    """

    replicas: int
    replaced: Callable[[int], int]
    environment: dict[str, str]
    command: str
    background: int
    pooler: Pooler | None


def read(path: str) -> Plan:
    """Return the plan in a file, in a directory, or in standard input if `path` is "-".

    Raises UnknownBudget.
    """
    try:
        import yaml
    except ImportError as error:
        raise UnknownBudget("PyYAML is needed to read manifests: install pyyaml") from error
    try:
        documents = [one for text in _texts(path) for one in yaml.safe_load_all(text) if one]
        return _plan(path, list(_objects(documents)))
    except yaml.YAMLError as error:
        raise UnknownBudget(f"{path} is not YAML: {error}") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UnknownBudget(
            f"{path} is not understood ({type(error).__name__}: {error}): validate it first"
        ) from error


def _objects(documents: list[Any]) -> Iterator[Manifest]:
    for document in documents:
        if not isinstance(document, dict) or "kind" not in document:
            raise ValueError("a document is not a Kubernetes object")
        if document["kind"] == "List":
            yield from _objects(document["items"])
        else:
            yield document


def _texts(path: str) -> Iterator[str]:
    """Yield the text of each file. A kustomization that changes more than names is rendered."""
    import yaml

    if path == "-":
        yield sys.stdin.read()
        return
    place = Path(path)
    kustomization = place / "kustomization.yaml"
    try:
        if not place.is_dir():
            yield place.read_text()
        elif not kustomization.exists():
            files = sorted([*place.glob("*.yaml"), *place.glob("*.yml")])
            if not files:
                raise UnknownBudget(f"{path} has no manifests (*.yaml)")
            for file in files:
                yield file.read_text()
        elif set(content := yaml.safe_load(kustomization.read_text())) <= HARMLESS:
            for resource in content.get("resources", ()):
                yield from _texts(str(place / resource))
        else:
            yield _rendered(place)
    except (OSError, UnicodeDecodeError) as error:
        raise UnknownBudget(f"{path} cannot be read: {error}") from error


def _rendered(kustomization: Path) -> str:
    if shutil.which("kubectl") is None:
        raise UnknownBudget(
            f"{kustomization} has patches, and kubectl, which applies them, is not installed"
        )
    try:
        done = subprocess.run(  # noqa: S603
            ["kubectl", "kustomize", str(kustomization)],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=RENDER_TAKES,
        )
    except subprocess.TimeoutExpired as error:
        raise UnknownBudget(f"`kubectl kustomize` took longer than {RENDER_TAKES} s") from error
    if done.returncode:
        raise UnknownBudget(f"`kubectl kustomize {kustomization}` failed: {done.stderr}")
    return done.stdout


def _plan(path: str, manifests: list[Manifest]) -> Plan:
    web: list[Manifest] = []
    poolers: list[Manifest] = []
    background = 0
    for manifest in manifests:
        if manifest["kind"] not in WORKLOADS:
            continue
        component = _labels(manifest).get(COMPONENT)
        if component == "web":
            web.append(manifest)
        elif component == "pgbouncer":
            poolers.append(manifest)
        else:
            connections = _declared_connections(manifest)
            if connections:
                pods, replaced = _pods(manifest, manifests)
                background += connections * (pods + replaced(pods))
    if len(web) != 1:
        raise UnknownBudget(f"{path} has {len(web)} workloads with {COMPONENT}: web, not one")
    if len(poolers) > 1:
        raise UnknownBudget(f"{path} has {len(poolers)} workloads with {COMPONENT}: pgbouncer")
    replicas, replaced = _pods(web[0], manifests)
    pooler = _pooler(poolers[0], manifests) if poolers else None
    container = _container(web[0])
    command = " ".join(map(str, [*container.get("command", ()), *container.get("args", ())]))
    variables = _environment(container, manifests)
    return Plan(replicas, replaced, variables, command, background, pooler)


def _pods(manifest: Manifest, manifests: list[Manifest]) -> tuple[int, Callable[[int], int]]:
    """Return the most pods that a workload wants, and how many a deploy runs beside so many."""
    name, spec = manifest["metadata"]["name"], _spec(manifest)
    replicas = int(spec.get("replicas", spec.get("parallelism", 1)))
    for scaler in manifests:
        if scaler["kind"] == "HorizontalPodAutoscaler":
            target = scaler["spec"]["scaleTargetRef"]
            if (target["kind"], target["name"]) == (manifest["kind"], name):
                replicas = int(scaler["spec"]["maxReplicas"])
    if manifest["kind"] == "DaemonSet":
        raise UnknownBudget(
            f"DaemonSet {name} runs on each node, and how many there are is unknown"
        )
    if replicas < 1:
        raise UnknownBudget(f"{manifest['kind']} {name} has {replicas} replicas: write 1 or more")
    replaced = partial(_replaced, spec) if manifest["kind"] == "Deployment" else _none
    replaced(replicas)  # names what is wrong in the strategy
    return replicas, replaced


def _none(replicas: int) -> int:
    """Return how many pods a StatefulSet runs beside others: it ends one before it starts one."""
    return 0


def _replaced(spec: Manifest, replicas: int) -> int:
    """Return how many pods a rolling update may run beside `replicas`.

    Pods that are being terminated do not count for Kubernetes, so it may start all new ones while
    all old ones still end. If minReadySeconds is at least their grace period, the ones of a step
    have ended before those of the next begin to.
    """
    strategy = spec.get("strategy") or {}
    if strategy.get("type") == "Recreate":
        return 0
    rolling = strategy.get("rollingUpdate") or {}
    surge = _share(rolling.get("maxSurge", "25%"), replicas, math.ceil)
    unavailable = _share(rolling.get("maxUnavailable", "25%"), replicas, math.floor)
    if not surge and not unavailable:
        unavailable = 1  # as Kubernetes does: else nothing could be replaced
    patience = spec["template"]["spec"].get("terminationGracePeriodSeconds", 30)
    if spec.get("minReadySeconds", 0) < patience:
        return replicas
    return min(2 * surge + unavailable, replicas)


def _share(value: int | str, replicas: int, rounded: Any) -> int:
    if isinstance(value, str) and value.endswith("%"):
        return int(rounded(int(value[:-1]) * replicas / 100))
    return int(value)


def _spec(manifest: Manifest) -> Any:
    """Return the specification of a workload. That of a CronJob is the one of its jobs."""
    spec = manifest["spec"]
    return spec["jobTemplate"]["spec"] if manifest["kind"] == "CronJob" else spec


def _container(manifest: Manifest) -> Manifest:
    """Return the container `web`, or the first one."""
    containers: list[Manifest] = manifest["spec"]["template"]["spec"]["containers"]
    return next((one for one in containers if one["name"] == "web"), containers[0])


def _environment(container: Manifest, manifests: list[Manifest]) -> dict[str, str]:
    """Return the variables of a container. Those of a secret or of the pod are empty."""
    maps = {one["metadata"]["name"]: one for one in manifests if one["kind"] == "ConfigMap"}
    found: dict[str, str] = {}
    for source in container.get("envFrom") or []:
        name = source.get("configMapRef", {}).get("name")
        if name in maps:
            found |= maps[name].get("data") or {}
    return found | {one["name"]: str(one.get("value", "")) for one in container.get("env") or []}


def _declared_connections(manifest: Manifest) -> int:
    name = manifest["metadata"]["name"]
    declared = (manifest["metadata"].get("annotations") or {}).get(CONNECTIONS)
    if declared is None:
        raise UnknownBudget(
            f"{manifest['kind']} {name} does not say how many connections one of its pods opens: "
            f'give it the annotation {CONNECTIONS}: "1"'
        )
    if not str(declared).isdecimal():
        raise UnknownBudget(f"{manifest['kind']} {name}: {CONNECTIONS} is {declared!r}, no number")
    return int(declared)


def _pooler(manifest: Manifest, manifests: list[Manifest]) -> Pooler:
    """Return the sizes of PgBouncer, from the pgbouncer.ini in a ConfigMap."""
    texts = [
        one["data"]["pgbouncer.ini"]
        for one in manifests
        if one["kind"] == "ConfigMap" and "pgbouncer.ini" in one.get("data", {})
    ]
    if len(texts) != 1:
        raise UnknownBudget(f"there are {len(texts)} ConfigMaps with a pgbouncer.ini, not one")
    instances, replaced = _pods(manifest, manifests)
    return pooler_of(texts[0], instances, replaced(instances))


def pooler_of(ini: str, instances: int, replaced: int = 0) -> Pooler:
    """Return the sizes in a pgbouncer.ini. Raises UnknownBudget."""
    parser = configparser.ConfigParser(interpolation=None)
    own = [line for line in ini.splitlines() if not line.startswith("%include")]
    try:
        parser.read_string("\n".join(own))
        section = parser["pgbouncer"]
        pool_size = section.getint("default_pool_size", 20) + section.getint("reserve_pool_size", 0)
        max_clients = section.getint("max_client_conn", 100)
    except (configparser.Error, KeyError, ValueError) as error:
        raise UnknownBudget(f"pgbouncer.ini is not understood: {error}") from error
    for name in {"databases", "users"} & set(parser.sections()):
        for key, value in parser[name].items():
            if OWN_SIZE.search(value):
                raise UnknownBudget(
                    f"pgbouncer.ini: {key} in [{name}] has a size or a mode of its own: use "
                    "default_pool_size and pool_mode for all"
                )
    if section.get("pool_mode", "session") != "transaction":
        raise UnknownBudget("pgbouncer.ini has no pool_mode = transaction, the one that bounds")
    return Pooler(instances, pool_size, max_clients, replaced)


def _labels(manifest: Manifest) -> dict[str, str]:
    return manifest["metadata"].get("labels") or {}
