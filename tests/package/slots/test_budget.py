"""budget.py, manifests.py and `manage.py database_budget`: the arithmetic, and bad input."""

import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.test import override_settings

from connection_slots.budget import Budget, Pooler, Server, UnknownBudget, as_many_again
from connection_slots.manifests import pooler_of, read

CONFIGURATION = "worker_class = 'gthread'\nthreads = 4\nworkers = 2\n"
DEPLOYMENT = """\
kind: Deployment
metadata: {name: web, labels: {app.kubernetes.io/component: web}}
spec:
  replicas: 3
  minReadySeconds: 40
  strategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}
  template:
    spec:
      terminationGracePeriodSeconds: 40
      containers:
        - name: web
          env: [{name: WEB_CONCURRENCY, value: "2"}, {name: DATABASE_SLOTS, value: "5"}]
"""
SCALER = """\
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec: {scaleTargetRef: {kind: Deployment, name: web}, minReplicas: 2, maxReplicas: 4}
"""
WORKER = """\
kind: Deployment
metadata: {name: worker, annotations: {connection-slots/connections: "3"}}
spec: {replicas: 2, strategy: {type: Recreate}, template: {spec: {containers: [{name: worker}]}}}
"""
PGBOUNCER = """\
kind: Deployment
metadata: {name: pgbouncer, labels: {app.kubernetes.io/component: pgbouncer}}
spec: {replicas: 2, strategy: {type: Recreate}, template: {spec: {containers: [{name: it}]}}}
---
kind: ConfigMap
metadata: {name: pgbouncer}
data:
  pgbouncer.ini: |
    %include /run/secrets/pgbouncer/databases.ini
    [pgbouncer]
    pool_mode = transaction
    default_pool_size = 20
    reserve_pool_size = 5
    max_client_conn = 1000
"""
OWN_POOL = "    [databases]\n    shop = host=db pool_size=80\n"
POOL = "instances = 1\npool_size = 20\nmax_clients = 300\n"
POOLED = DEPLOYMENT.replace("env: [", 'env: [{name: DATABASE_POOLER, value: "transaction"}, ')


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A project directory of the test's own."""
    monkeypatch.delenv("GUNICORN_CMD_ARGS", raising=False)
    (tmp_path / "gunicorn.conf.py").write_text(CONFIGURATION)
    (tmp_path / "deploy").mkdir()
    with override_settings(BASE_DIR=tmp_path, DATABASE_SLOTS=10, REPLICAS=3):
        yield tmp_path


def declare(project: Path, text: str) -> None:
    """Write deploy/database.toml."""
    (project / "deploy" / "database.toml").write_text(text)


def manifests(project: Path, *texts: str) -> str:
    """Write manifests, and return their path."""
    path = project / "all.yaml"
    path.write_text("---\n".join(texts))
    return str(path)


def budget(*arguments: str) -> dict[str, Any]:
    """Return what the command prints as JSON."""
    said = io.StringIO()
    call_command("database_budget", "--json", *arguments, stdout=said)
    printed: dict[str, Any] = json.loads(said.getvalue())
    return printed


def refusal(*arguments: str) -> tuple[int, str]:
    """Return the exit code and the message of a command that fails."""
    with pytest.raises(CommandError) as raised:
        call_command("database_budget", *arguments, stdout=io.StringIO())
    assert "\n" not in str(raised.value)
    return raised.value.returncode, str(raised.value)


# The arithmetic


def none(replicas: int) -> int:
    return 0


def two(replicas: int) -> int:
    return 2


def a_quarter(replicas: int) -> int:
    return math.ceil(replicas / 4)


def test_replaced_replicas_are_counted() -> None:
    plan = Budget(workers=2, slots=10, aliases=1, replicas=4, usable=97, replaced=two)
    assert (plan.steady, plan.replacing, plan.fits) == (80, 120, False)
    assert (plan.largest_replicas, plan.largest_slots) == (2, 8)
    everything = Budget(workers=2, slots=10, aliases=1, replicas=4, usable=160)
    assert (everything.replacing, everything.fits, everything.largest_replicas) == (160, True, 4)


@pytest.mark.parametrize("replaced", [as_many_again, none, two, a_quarter])
@pytest.mark.parametrize("background", [0, 7])
def test_proposals_are_the_largest_that_fit(
    replaced: Callable[[int], int], background: int
) -> None:
    def plan(replicas: int, slots: int) -> Budget:
        return Budget(3, slots, 2, replicas, 200, background, replaced)

    replicas, slots = plan(5, 4).largest_replicas, plan(5, 4).largest_slots
    assert plan(replicas, 4).fits
    assert not plan(replicas + 1, 4).fits
    assert plan(5, slots).fits
    assert not plan(5, slots + 1).fits


def test_pooler_bounds_the_server() -> None:
    pooler = Pooler(instances=2, pool_size=25, max_clients=1000, replaced=1)
    plan = Budget(workers=4, slots=10, aliases=1, replicas=20, usable=97, pooler=pooler)
    assert (plan.clients, plan.steady, plan.replacing, plan.fits) == (800, 50, 75, True)
    assert plan.largest_replicas == 25  # 2 x 1000 clients, of which a deploy takes the half
    many = Budget(workers=4, slots=10, aliases=1, replicas=26, usable=97, pooler=pooler)
    assert not many.fits


def test_other_services_and_reserved_connections_are_not_usable() -> None:
    assert Server(100, reserved=3, others={"billing": 40, "reports": 7}).usable == 50


# Manifests


def test_manifests_are_read(project: Path) -> None:
    declare(project, "[server]\nmax_connections = 200\n[services]\nbilling = 20\n")
    found = budget("--manifests", manifests(project, DEPLOYMENT, SCALER, WORKER))
    assert found["replicas"] == 4
    assert found["background"] == 6
    assert found["opened"] == 4 * 2 * 5 * 2 + 6
    assert found["opened_replacing"] == (4 + 2) * 2 * 5 * 2 + 6
    assert found["usable"] == 200 - 3 - 20
    assert found["fits"]


@pytest.mark.parametrize(
    ("old", "new", "replaced"),
    [
        ("minReadySeconds: 40", "minReadySeconds: 39", 10),  # terminated pods may add up
        ("maxUnavailable: 0", "maxUnavailable: 25%", 4),
        ("maxSurge: 1", "maxSurge: 30%", 6),
        ("strategy: {rollingUpdate", "strategy: {type: Recreate, rollingUpdate", 0),
        ("maxSurge: 1, maxUnavailable: 0", "maxSurge: 0, maxUnavailable: 5%", 1),
    ],
)
def test_terminating_pods_are_counted(project: Path, old: str, new: str, replaced: int) -> None:
    assert old in DEPLOYMENT
    changed = DEPLOYMENT.replace("replicas: 3", "replicas: 10").replace(old, new)
    assert read(manifests(project, changed)).replaced(10) == replaced


def test_proposal_counts_its_own_replaced_replicas(project: Path) -> None:
    declare(project, "[server]\nmax_connections = 103\n")
    rolling = DEPLOYMENT.replace("minReadySeconds: 40", "minReadySeconds: 0")
    code, message = refusal("--manifests", manifests(project, rolling.replace("s: 3", "s: 8")))
    assert code == 1
    assert "At most 2 replicas" in message  # 20 connections each, and as many during the deploy


def test_pgbouncer_in_manifests_is_read(project: Path) -> None:
    declare(project, "[server]\nmax_connections = 150\n")
    found = budget("--manifests", manifests(project, POOLED, PGBOUNCER))
    assert found["pgbouncer"] == {"instances": 2, "pool_size": 25, "max_clients": 1000}
    assert found["server"] == 2 * 25 * 2
    assert found["fits"]
    direct = budget("--manifests", manifests(project, DEPLOYMENT, PGBOUNCER))
    assert direct["pgbouncer"] is None  # it is deployed, and this service does not use it


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: [", "is not YAML"),
        ("just text", "not a Kubernetes object"),
        (SCALER, "0 workloads with app.kubernetes.io/component: web"),
        (DEPLOYMENT.replace("replicas: 3", "replicas: 0"), "web has 0 replicas"),
        (DEPLOYMENT.replace("replicas: 3", "replicas: many"), "is not understood"),
        (DEPLOYMENT.replace('"2"', "two"), "WEB_CONCURRENCY is 'two'"),
        (f"{DEPLOYMENT}---\n{WORKER.replace('3', 'few')}", "is 'few', no number"),
        (f"{DEPLOYMENT}---\n{WORKER.replace('annotations', 'other')}", "does not say how many"),
        (f"{POOLED}---\n{PGBOUNCER.replace('transaction', 'session')}", "pool_mode = transaction"),
        (f"{POOLED}---\n{PGBOUNCER.replace('= 20', '= x')}", "pgbouncer.ini is not understood"),
        (f"{POOLED}---\n{PGBOUNCER}{OWN_POOL}", "shop in [databases] has a size"),
        (DEPLOYMENT.replace("maxSurge: 1", "maxSurge: one"), "is not understood"),
        (DEPLOYMENT.replace("env:", "args: [--workers, '9']\n          env:"), "the command sets"),
        (POOLED, "its size is not known"),
        ("- a\n- b\n", "not a Kubernetes object"),
        (
            DEPLOYMENT.replace('value: "2"', "valueFrom: {secretKeyRef: {}}"),
            "WEB_CONCURRENCY is ''",
        ),
        (f"{DEPLOYMENT}---\n{WORKER.replace('kind: Deployment', 'kind: DaemonSet')}", "each node"),
    ],
)
def test_bad_manifest_is_named(project: Path, text: str, problem: str) -> None:
    declare(project, "[server]\nmax_connections = 100\n")
    code, message = refusal("--manifests", manifests(project, text))
    assert code == 2
    assert problem in message


def test_jobs_and_lists_are_read(project: Path) -> None:
    job = """\
kind: List
items:
  - kind: CronJob
    metadata: {name: clean, annotations: {connection-slots/connections: "2"}}
    spec: {jobTemplate: {spec: {parallelism: 3, template: {spec: {containers: [{name: x}]}}}}}
"""
    assert read(manifests(project, DEPLOYMENT, job)).background == 6


def test_variables_from_a_config_map_are_read(project: Path) -> None:
    values = "kind: ConfigMap\nmetadata: {name: values}\ndata: {WEB_CONCURRENCY: '7'}\n"
    container = "- {name: web, envFrom: [{configMapRef: {name: values}}]}\n"
    text = DEPLOYMENT[: DEPLOYMENT.index("- name: web")] + container
    assert read(manifests(project, text, values)).environment == {"WEB_CONCURRENCY": "7"}


def test_other_arguments_of_gunicorn_are_accepted(project: Path) -> None:
    declare(project, "[server]\nmax_connections = 200\n")
    given = 'env: [{name: GUNICORN_CMD_ARGS, value: "--worker-tmp-dir /tmp"}, '
    assert budget("--manifests", manifests(project, DEPLOYMENT.replace("env: [", given)))["fits"]
    for workers in ("-w 9", "-w9", "--workers=9"):
        text = DEPLOYMENT.replace("env: [", given.replace("--worker-tmp-dir /tmp", workers))
        assert refusal("--manifests", manifests(project, text))[0] == 2


@pytest.mark.parametrize("text", ["resources: 5", "5", "a: ["])
def test_bad_kustomization_is_named(project: Path, text: str) -> None:
    (project / "kustomization.yaml").write_text(text)
    assert refusal("--manifests", str(project))[0] == 2


def test_missing_manifests_are_named(project: Path) -> None:
    code, message = refusal("--manifests", str(project / "none"))
    assert (code, "none cannot be read" in message) == (2, True)
    (project / "empty").mkdir()
    with pytest.raises(UnknownBudget, match="has no manifests"):
        read(str(project / "empty"))


def test_pgbouncer_has_its_own_defaults() -> None:
    assert pooler_of("[pgbouncer]\npool_mode = transaction\n", 1) == Pooler(1, 20, 100)


# The command


def test_plan_that_fits(project: Path) -> None:
    declare(project, "[server]\nmax_connections = 260\n")
    said = io.StringIO()
    call_command("database_budget", stdout=said)
    assert "service, replacing    240  during a reload or a deploy" in said.getvalue()
    assert "The plan fits. At most 3 replicas or 10 slots per worker" in said.getvalue()


def test_plan_that_does_not_fit(project: Path) -> None:
    declare(project, "[server]\nmax_connections = 100\nreserved = 10\n")
    code, message = refusal()
    assert code == 1
    assert "240 connections of 90 usable" in message
    assert "At most 1 replicas or 3 slots per worker would fit" in message


def test_server_is_asked() -> None:
    with override_settings(DATABASE_SLOTS=1, REPLICAS=1):
        found = budget()
    with connections["default"].cursor() as cursor:
        cursor.execute("SHOW max_connections")
        assert found["max_connections"] == int(cursor.fetchone()[0])
    assert found["aliases"] == 2


def test_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connection_slots.backend.base.RESTART_TAKES", 0.0)
    monkeypatch.setitem(connections.settings["other"], "PORT", "1")
    connections.close_all()
    code, message = refusal("--database", "other")
    assert code == 2
    assert "could not be asked" in message


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[server", "cannot be read"),
        ("[server]\nmax_conections = 1", "an unknown max_conections"),
        ("[servers]\nx = 1", "unknown section servers"),
        ("server = 1", "server is not a section"),
        ("[services]\nbilling = '40'", "billing = '40' is no number"),
        ("[services]\nbilling = -1", "billing = -1 is no number"),
        ("[pgbouncer]\ninstances = 1", "needs instances, max_clients, pool_size"),
        ("[pgbouncer]\ninstances = 0\npool_size = 1\nmax_clients = 1", "instances = 0"),
    ],
)
def test_bad_declaration_is_named(project: Path, text: str, problem: str) -> None:
    declare(project, text)
    code, message = refusal()
    assert code == 2
    assert problem in message


def test_other_bad_input_is_named(project: Path) -> None:
    assert refusal("--database", "none") == (2, "There is no database 'none'.")
    assert refusal("--declared", str(project / "none"))[0] == 2


def test_sql_enforces_the_budget(project: Path) -> None:
    declare(project, "[server]\nmax_connections = 260\n")
    call_command("database_budget", "--sql", stdout=(said := io.StringIO()))
    assert said.getvalue().strip().endswith("CONNECTION LIMIT 240;")


@pytest.mark.usefixtures("pooled")
def test_sql_sets_timeouts_behind_pooler(project: Path) -> None:
    declare(project, "[server]\nmax_connections = 260\n[pgbouncer]\n" + POOL)
    call_command("database_budget", "--sql", stdout=(said := io.StringIO()))
    assert "CONNECTION LIMIT 40;" in said.getvalue()
    assert "SET statement_timeout = '15s';" in said.getvalue()
