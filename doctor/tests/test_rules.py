"""Each rule has a case that triggers it, and one beside it that must not."""

from dataclasses import dataclass

import pytest
from gunicorn import config

from doctor_helpers import Check, Write, database
from gunicorn_doctor import gunicorn
from gunicorn_doctor.builtin import RULES

POOL = "{'pool': %s, 'connect_timeout': 3, 'options': '-c statement_timeout=15s'}"
UVICORN = "web: gunicorn config.asgi -k uvicorn_worker.UvicornWorker"
GEVENT = "web: gunicorn config.wsgi -k gevent --worker-connections 20"
PSYCOPG2 = "django==6.1\ngunicorn==27.0.1\npsycopg2-binary==2.9.10\n"
SLOTS = database(ENGINE="'connection_slots.backend'", CONN_MAX_AGE="60") + "DATABASE_SLOTS = 10\n"
READ_ONLY = """
    services:
      web:
        build: .
        command: gunicorn config.wsgi
        read_only: true
"""
BOUNCER = """
    services:
      pooler:
        image: edoburu/pgbouncer:1.23
        environment: {POOL_MODE: %s}
"""
IMAGE = "FROM python\nRUN %s\nUSER app\nCMD gunicorn config.wsgi\n"
DEPLOYMENT = """
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: web}
    spec:
      replicas: %s
      template:
        spec:
          containers:
            - name: web
              image: web
              command: [gunicorn, config.wsgi, --workers, "4", --threads, "8"]
"""


@dataclass
class Case:
    """Files that trigger a rule, and files that are as near as possible and do not."""

    rule: str
    bad: dict[str, str | None]
    good: dict[str, str | None]
    name: str = ""

    def __str__(self) -> str:
        return f"{self.rule}-{self.name}" if self.name else self.rule


SETTINGS, CONF, REQUIREMENTS = "config/settings.py", "gunicorn.conf.py", "requirements.txt"
CASES = [
    Case("DG000", {"compose.yaml": "services: [broken"}, {"compose.yaml": "services: {}"}),
    Case(
        "DG000",
        {CONF: "worker_class = choose()\n"},
        {CONF: "worker_class = 'gthread'\n"},
        "worker class",
    ),
    Case(
        "DG000",
        {SETTINGS: database(CONN_MAX_AGE="compute()")},
        {SETTINGS: database(CONN_MAX_AGE="30 * 2")},
        "expression",
    ),
    Case(
        "DG001",
        {"Procfile": UVICORN, SETTINGS: database(CONN_MAX_AGE="60")},
        {"Procfile": UVICORN, SETTINGS: database(CONN_MAX_AGE="0")},
        "uvicorn",
    ),
    Case(
        "DG001",
        {"Procfile": "web: daphne config.asgi:application"},
        {"Procfile": "web: gunicorn config.wsgi"},
        "daphne",
    ),
    Case(
        "DG001",
        {"Procfile": GEVENT, SETTINGS: database(CONN_MAX_AGE="None")},
        {"Procfile": GEVENT, SETTINGS: SLOTS},
        "gevent",
    ),
    Case(
        "DG002",
        {SETTINGS: database(CONN_MAX_AGE="60", OPTIONS=POOL % "{'max_size': 4}")},
        {SETTINGS: database(OPTIONS=POOL % "{'min_size': 1, 'max_size': 4}")},
    ),
    Case(
        "DG003",
        {SETTINGS: database(OPTIONS=POOL % "True")},
        {SETTINGS: database(OPTIONS=POOL % "True"), CONF: "worker_class = 'gthread'\n"},
    ),
    Case(
        "DG004",
        {"Procfile": GEVENT + " --preload"},
        {"Procfile": "web: gunicorn config.wsgi --preload"},
        "gevent",
    ),
    Case(
        "DG004",
        {SETTINGS: database(OPTIONS=POOL % "{'max_size': 4}"), CONF: "preload_app = True\n"},
        {SETTINGS: database(OPTIONS=POOL % "{'max_size': 4}"), CONF: "preload_app = False\n"},
        "pool",
    ),
    Case(
        "DG004",
        {"Procfile": GEVENT + " --preload"},
        {
            "Procfile": GEVENT + " --preload",
            CONF: "from gevent import monkey\nmonkey.patch_all()\n",
        },
        "gevent",
    ),
    Case(
        "DG005",
        {"Procfile": GEVENT, REQUIREMENTS: PSYCOPG2},
        {
            "Procfile": GEVENT,
            REQUIREMENTS: PSYCOPG2,
            CONF: """
                def post_fork(server, worker):
                    from psycogreen.gevent import patch_psycopg
                    patch_psycopg()
            """,
        },
    ),
    Case(
        "DG006",
        {"Procfile": "web: gunicorn config.wsgi -k gevent", SETTINGS: database()},
        {"Procfile": GEVENT, SETTINGS: database()},
        "gevent",
    ),
    Case(
        "DG006",
        {"Procfile": "web: uvicorn config.asgi:application", SETTINGS: database()},
        {"Procfile": "web: uvicorn config.asgi:application --limit-concurrency 8"},
        "uvicorn",
    ),
    Case(
        "DG007",
        {CONF: "worker_class = 'asgi'\n", REQUIREMENTS: "gunicorn==25.3.0\n"},
        {CONF: "worker_class = 'asgi'\n", REQUIREMENTS: "gunicorn>=25.3\n"},
    ),
    Case(
        "DG008",
        {CONF: "worker_class = 'eventlet'\n", REQUIREMENTS: "gunicorn\n"},
        {CONF: "worker_class = 'eventlet'\n", REQUIREMENTS: "gunicorn<26\n"},
    ),
    Case(
        "DG009",
        {CONF: "access_logfile = '-'\n"},
        {CONF: "accesslog = '-'\ncores = 2\nworkers = cores * 2\n_note = 1\n"},
    ),
    Case(
        "DG010",
        {SETTINGS: database(OPTIONS="{'options': '-c statement_timeout=15s'}")},
        {SETTINGS: database()},
    ),
    Case(
        "DG010",
        {SETTINGS: database(HOST="os.environ.get('HOST', '')", OPTIONS="{}")},
        {SETTINGS: database(HOST="'/run/postgresql'", OPTIONS="{}")},
        "socket",
    ),
    Case("DG011", {SETTINGS: database(OPTIONS="{'connect_timeout': 3}")}, {SETTINGS: database()}),
    Case(
        "DG012",
        {"compose.yaml": BOUNCER % "transaction"},
        {"compose.yaml": BOUNCER % "session"},
        "compose",
    ),
    Case(
        "DG012",
        {SETTINGS: database(HOST="'db'", PORT="6432")},
        {SETTINGS: database(HOST="'db'", PORT="6432", DISABLE_SERVER_SIDE_CURSORS="True")},
        "port",
    ),
    Case(
        "DG012",
        {SETTINGS: database(HOST="'pgbouncer'", DISABLE_SERVER_SIDE_CURSORS="False")},
        {
            SETTINGS: "import os\n"
            + database(
                HOST="'pgbouncer'",
                DISABLE_SERVER_SIDE_CURSORS="os.environ.get('POOLER', '') == 'transaction'",
            )
        },
        "variable",
    ),
    Case("DG013", {"web.yaml": DEPLOYMENT % 4}, {"web.yaml": DEPLOYMENT % 3}),
    Case(
        "DG014",
        {SETTINGS: database(ENGINE="'django_db_geventpool.backends.postgresql_psycopg3'")},
        {
            SETTINGS: database(ENGINE="'django_db_geventpool.backends.postgresql_psycopg3'"),
            REQUIREMENTS: "django==5.0\n",
        },
    ),
    Case(
        "DG015",
        {"compose.yaml": READ_ONLY},
        {"compose.yaml": READ_ONLY, CONF: "control_socket_disable = True\n"},
        "read-only",
    ),
    Case(
        "DG015",
        {"Dockerfile": IMAGE % "useradd --system app"},
        {"Dockerfile": IMAGE % "useradd --create-home app"},
        "homeless",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_rule_triggers(case: Case, write: Write, check: Check) -> None:
    answer = check(write(case.bad))
    assert case.rule in answer.rules
    assert answer.code == 1


@pytest.mark.parametrize("case", CASES, ids=str)
def test_rule_stays_silent(case: Case, write: Write, check: Check) -> None:
    assert case.rule not in check(write(case.good)).rules


def test_every_rule_has_a_case() -> None:
    assert {case.rule for case in CASES} == {rule.id for rule in RULES}


def test_good_service_has_no_finding(write: Write, check: Check) -> None:
    answer = check(write())
    assert answer.data["findings"] == []
    assert answer.code == 0


def test_settings_of_gunicorn_are_known() -> None:
    assert {setting.name for setting in config.KNOWN_SETTINGS} <= gunicorn.SETTINGS


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_page_explains_the_rule(rule: object) -> None:
    from gunicorn_doctor.rules import Rule

    assert isinstance(rule, Rule)
    page = rule.page()
    assert page.startswith(f"# {rule.id}: {rule.title}\n")
    for heading in ("## What", "## Why", "## Fix", "## Skip"):
        assert heading in page
    assert "https://" in page or rule.id == "DG000"


def test_slots_count_in_the_budget(write: Write, check: Check) -> None:
    root = write({SETTINGS: SLOTS, "Procfile": "web: gunicorn config.wsgi -w 10 --threads 50"})
    (message,) = check(root).messages("DG013")
    assert "1 replicas x 10 workers x 10 connections = 100" in message


def test_autoscaler_counts_in_the_budget(write: Write, check: Check) -> None:
    scaler = """
        ---
        apiVersion: autoscaling/v2
        kind: HorizontalPodAutoscaler
        metadata: {name: web}
        spec: {maxReplicas: 9, scaleTargetRef: {kind: Deployment, name: web}}
    """
    answer = check(write({"web.yaml": DEPLOYMENT % 1, "scaler.yaml": scaler}))
    assert "9 replicas" in answer.messages("DG013")[0]


def test_max_connections_of_compose_counts(write: Write, check: Check) -> None:
    compose = """
        services:
          db: {image: "postgres:18", command: postgres -c max_connections=20}
          web: {build: ., command: gunicorn config.wsgi -w 20}
    """
    (message,) = check(write({"compose.yaml": compose})).messages("DG013")
    assert "has 17 (max_connections in compose.yaml:2" in message


def test_locked_release_wins(write: Write, check: Check) -> None:
    files: dict[str, str | None] = {
        CONF: "worker_class = 'eventlet'\n",
        REQUIREMENTS: "gunicorn>=25\n",
        "uv.lock": '[[package]]\nname = "gunicorn"\nversion = "25.3.0"\n',
    }
    assert "DG008" not in check(write(files)).rules


@pytest.mark.parametrize(
    ("declared", "affected"),
    [("^25.1", True), ("~25.3", True), ("*", False), ("26.1.0", False), (">=25,<27", False)],
)
def test_ranges_of_poetry_are_understood(
    declared: str, affected: bool, write: Write, check: Check
) -> None:
    metadata = f'[tool.poetry.dependencies]\npython = "^3.12"\ngunicorn = "{declared}"\n'
    files: dict[str, str | None] = {
        CONF: "worker_class = 'asgi'\n",
        REQUIREMENTS: None,
        "pyproject.toml": metadata,
    }
    assert ("DG007" in check(write(files)).rules) is affected
