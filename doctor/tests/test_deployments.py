"""Servers are found wherever a project starts them, with the settings that hold there."""

import json
import os
from pathlib import Path

import pytest

from doctor_helpers import Check, Write, database

SETTINGS = "config/settings.py"
AGE = {"Procfile": None, SETTINGS: database(CONN_MAX_AGE="60")}


@pytest.mark.parametrize(
    "command",
    [
        "gunicorn config.asgi -k uvicorn_worker.UvicornWorker",
        "gunicorn config.asgi --worker-class=uvicorn.workers.UvicornWorker",
        "python -m gunicorn -k gevent config.wsgi",
        "poetry run gunicorn -kgevent config.wsgi",
        "newrelic-admin run-program gunicorn -k eventlet config.wsgi",
        "python manage.py migrate && exec uvicorn config.asgi:application --port $PORT",
        "sh -c 'gunicorn config.wsgi -k gevent'",
        "hypercorn config.asgi",
        "WORKER=gevent gunicorn -k ${WORKER} config.wsgi",
        "gunicorn -k ${WORKER_CLASS:-gevent} config.wsgi",
        "env WORKER=gevent gunicorn -k ${WORKER} config.wsgi",
    ],
)
def test_command_is_understood(command: str, write: Write, check: Check) -> None:
    assert "DG001" in check(write({**AGE, "Procfile": f"web: {command}\n"})).rules


@pytest.mark.parametrize(
    "command",
    [
        "gunicorn config.wsgi",
        "uvicorn config.asgi:application --reload",
        "pip install uvicorn daphne",
        "celery -A config worker -P gevent",
        "python manage.py runserver",
        "sudo systemctl restart uvicorn",
        "mkdir -p /var/log/uvicorn",
    ],
)
def test_other_commands_are_not_servers(command: str, write: Write, check: Check) -> None:
    assert "DG001" not in check(write({**AGE, "Procfile": f"web: {command}\n"})).rules


@pytest.mark.parametrize(
    "command",
    [
        "gunicorn -k $CLASS config.wsgi",
        "gunicorn $OPTS config.wsgi",
        "gunicorn -c $FILE config.wsgi",
    ],
)
def test_arguments_of_unknown_variables_are_told(command: str, write: Write, check: Check) -> None:
    assert check(write({"Procfile": f"web-api: {command}\n"})).places("DG000") == ["Procfile:1"]


def test_settings_of_a_gunicorn_option_count(write: Write, check: Check) -> None:
    command = "web: gunicorn --env DJANGO_SETTINGS_MODULE=config.live config.wsgi\n"
    answer = check(write({"Procfile": command, "config/live.py": "from .settings import *\n"}))
    assert answer.data["settings"]["path"] == "config/live.py"


def test_list_of_manifests_is_read(write: Write, check: Check) -> None:
    text = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n"
    text += "  spec: {containers: [{command: [gunicorn, config.wsgi, -k, gevent]}]}\n"
    assert "DG001" in check(write({**AGE, "pods.yaml": text})).rules


@pytest.mark.parametrize(
    "text",
    [
        'CMD ["gunicorn", "config.wsgi", "-k", "gevent"]',
        "CMD gunicorn config.wsgi -k gevent",
        "CMD gunicorn config.wsgi \\\n  -k gevent",
        'ENTRYPOINT ["gunicorn", "config.wsgi"]\nCMD ["-k", "gevent"]',
        'ENV GUNICORN_CMD_ARGS="-k gevent"\nCMD ["gunicorn", "config.wsgi"]',
        'COPY deploy/run /start\nCMD ["/start"]',
        'COPY . .\nENTRYPOINT ["/app/deploy/entry.sh"]',
        "AS base\nCMD gunicorn config.wsgi -k gevent\nFROM base",
    ],
)
def test_dockerfile_is_understood(text: str, write: Write, check: Check) -> None:
    script = "#!/bin/sh\nset -e\nexec gunicorn config.wsgi \\\n  -k gevent\n"
    files: dict[str, str | None] = {
        **AGE,
        "Dockerfile": f"FROM python:3.13 {'' if text.startswith('AS') else chr(10)}{text}\n",
    }
    files |= {name: script for name in ("deploy/run", "deploy/entry.sh") if name in text}
    answer = check(write(files))
    assert "DG001" in answer.rules
    assert len(answer.data["servers"]) == 1


def test_script_that_is_not_in_the_project_is_told(write: Write, check: Check) -> None:
    image = 'FROM python\nCMD ["/usr/local/bin/serve"]\n'
    answer = check(write({"Dockerfile": image}))
    assert answer.data["unchecked"] == [
        "/usr/local/bin/serve, started by Dockerfile:2, is not in the project"
    ]


def test_last_stage_of_a_dockerfile_counts(write: Write, check: Check) -> None:
    text = "FROM python AS dev\nCMD daphne config.asgi\nFROM python\nCMD gunicorn config.wsgi\n"
    assert "DG001" not in check(write({**AGE, "Dockerfile": text})).rules


def test_compose_builds_its_target(write: Write, check: Check) -> None:
    image = "FROM python AS live\nCMD daphne config.asgi\nFROM live AS test\nCMD pytest\n"
    compose = "services: {web: {build: {context: ., target: live}}}\n"
    assert "DG001" in check(write({**AGE, "Dockerfile": image, "compose.yaml": compose})).rules


def test_compose_command_and_environment_are_used(write: Write, check: Check) -> None:
    compose = """
        services:
          web:
            build: .
            command: gunicorn config.wsgi -w 4
            env_file: web.env
            environment: [WORKERS=4]
            deploy: {replicas: 3}
    """
    files = {
        **AGE,
        "compose.yaml": compose,
        "Dockerfile": "FROM python\n",
        "web.env": "# comment\nGUNICORN_CMD_ARGS=-k gevent\n",
    }
    assert "DG001" in check(write(files)).rules


def test_merged_anchors_of_compose_are_read(write: Write, check: Check) -> None:
    compose = """
        x-app: &app
          command: ["gunicorn", "config.wsgi", "-k", "gevent"]
        services:
          web: {<<: *app, build: .}
    """
    assert "DG001" in check(write({**AGE, "compose.yaml": compose})).rules


def test_dockerfile_counts_beside_a_development_command(write: Write, check: Check) -> None:
    files = {
        **AGE,
        "compose.yaml": "services: {web: {build: ., command: python manage.py runserver}}\n",
        "Dockerfile": "FROM python\nCMD gunicorn config.wsgi -k gevent\n",
    }
    assert check(write(files)).places("DG001") == ["config/settings.py:6"]


KUBERNETES = """
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: web}
    data: {CLASS: gevent}
    ---
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: web}
    spec:
      replicas: 2
      template:
        spec:
          containers:
            - name: web
              image: example/web:1
              %s
"""


@pytest.mark.parametrize(
    "line",
    [
        "command: [gunicorn, config.wsgi, -k, gevent]",
        "args: [gunicorn, config.wsgi, -k, gevent]",
        "command: [sh, -c, 'gunicorn config.wsgi -k $CLASS']\n              "
        "envFrom: [{configMapRef: {name: web}}]",
        "command: [gunicorn, config.wsgi]\n              "
        "env: [{name: GUNICORN_CMD_ARGS, value: -k gevent}]",
    ],
)
def test_manifest_is_understood(line: str, write: Write, check: Check) -> None:
    assert "DG001" in check(write({**AGE, "web.yaml": KUBERNETES % line})).rules


def test_manifest_without_command_uses_the_image(write: Write, check: Check) -> None:
    files = {
        "Procfile": None,
        "web.yaml": KUBERNETES % "securityContext: {readOnlyRootFilesystem: true}",
        "Dockerfile": "FROM python\nCMD gunicorn config.wsgi\n",
    }
    answer = check(write(files))
    assert answer.places("DG015") == ["web.yaml:14"]


def test_template_of_a_manifest_is_not_understood(write: Write, check: Check) -> None:
    chart = "apiVersion: apps/v1\nkind: Deployment\nspec:\n  {{- if .x }}\n  a: b\n  {{- end }}\n"
    (message,) = check(write({"chart/web.yaml": chart})).messages("DG000")
    assert "a template" in message


@pytest.mark.parametrize(
    ("option", "file"),
    [
        ("-c gunicorn.conf.py", "gunicorn.conf.py"),
        ("", "gunicorn.conf.py"),
        ("-c /app/deploy/settings.py", "deploy/settings.py"),
        ("--config=file:deploy/settings.py", "deploy/settings.py"),
        ("-c python:deploy.settings", "deploy/settings.py"),
    ],
)
def test_configuration_file_is_found(option: str, file: str, write: Write, check: Check) -> None:
    files = {
        **AGE,
        "Procfile": f"web: gunicorn {option} config.wsgi\n",
        file: "import os\nworker_class = os.environ.get('WORKER_CLASS', 'gevent')\n",
    }
    assert "DG001" in check(write(files)).rules


def test_each_possible_worker_class_is_judged(write: Write, check: Check) -> None:
    text = """
        import os

        if os.environ.get("PLATFORM") == "large":
            worker_class = "gevent"
        else:
            worker_class = "gthread"
    """
    files = {**AGE, "Procfile": "web: gunicorn config.wsgi\n", "gunicorn.conf.py": text}
    answer = check(write(files))
    assert {each["worker_class"] for each in answer.data["servers"]} == {"gevent", "gthread"}
    assert "DG001" in answer.rules
    assert "DG000" not in answer.rules


def test_command_line_beats_the_configuration_file(write: Write, check: Check) -> None:
    files = {
        **AGE,
        "Procfile": "web: gunicorn -k gthread config.wsgi\n",
        "gunicorn.conf.py": "worker_class = 'gevent'\n",
    }
    assert "DG001" not in check(write(files)).rules


def test_missing_configuration_file_is_not_understood(write: Write, check: Check) -> None:
    answer = check(write({"Procfile": "web: gunicorn -c deploy/other.py config.wsgi\n"}))
    assert answer.places("DG000") == ["Procfile:1"]


def test_configuration_file_without_command_is_enough(write: Write, check: Check) -> None:
    answer = check(write({**AGE, "gunicorn.conf.py": "worker_class = 'gevent'\n"}))
    assert "DG001" in answer.rules


def test_unused_start_script_is_read(write: Write, check: Check) -> None:
    script = "#!/bin/bash\nWORKERS=${WORKERS:-3}\ngunicorn -w $WORKERS -k gevent config.wsgi\n"
    assert "DG001" in check(write({**AGE, "bin/serve.sh": script})).rules


def test_virtual_environments_and_dependencies_are_left_out(write: Write, check: Check) -> None:
    files = {
        "env/pyvenv.cfg": "home = /usr/bin\n",
        "env/serve.sh": "daphne config.asgi\n",
        "node_modules/x/compose.yaml": "services: [broken\n",
    }
    assert check(write(files)).code == 0


def test_project_below_the_checked_directory_is_found(write: Write, check: Check) -> None:
    settings = database(CONN_MAX_AGE="60")
    files = {
        "manage.py": None,
        SETTINGS: None,
        "Procfile": "web: daphne config.asgi\n",
        "backend/manage.py": "os.environ['DJANGO_SETTINGS_MODULE'] = 'config.settings'\n",
        "backend/config/settings.py": settings,
    }
    assert check(write(files)).places("DG001")[0].startswith("backend/config/settings.py:")


def test_servers_are_reported(write: Write, check: Check) -> None:
    servers = check(write()).data["servers"]
    expected = {"program": "gunicorn", "worker_class": "sync", "where": "Procfile:1"}
    assert servers == [expected], json.dumps(servers)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("compose.yaml", "services: {web: null, a: [], b: {build: 1, command: {x: 1}, deploy: 2}}"),
        ("compose.yaml", "services: [1]\nx-a: &a [*a]\n"),
        ("compose.yaml", "services: {web: {build: ., environment: 7, env_file: [{x: y}]}}"),
        ("web.yaml", "apiVersion: apps/v1\nkind: Deployment\nspec: []\n"),
        ("web.yaml", "apiVersion: v1\nkind: Pod\nspec: {containers: [1, {command: 5, env: x}]}\n"),
        ("web.yaml", "apiVersion: apps/v1\nkind: Deployment\nspec: {replicas: many}\n"),
        ("web.yaml", "apiVersion: v1\nkind: ConfigMap\ndata: [1]\n"),
        ("web.yaml", "apiVersion: v1\nkind: Pod\nspec: !include pod.yaml\n"),
        ("Dockerfile", "FROM\nENV 'a\nCMD [1, 2\nCOPY\nRUN <<E\nCMD x\nE\n"),
        (
            "compose.yaml",
            "services: {w: {command: gunicorn x, env_file: [../../../etc/hosts]}}",
        ),
        ("Dockerfile", 'FROM x\nENV GUNICORN_CMD_ARGS="-k \'a"\nCMD gunicorn config.wsgi\n'),
        ("Procfile", "web gunicorn\n:\nweb: gunicorn 'open\n"),
        ("pyproject.toml", "[project]\ndependencies = 'x'\n[tool.poetry]\ndependencies = 3\n"),
        ("uv.lock", "[[package]]\nversion = 1\n"),
        ("gunicorn.conf.py", "x = " + "(" * 150 + ")" * 150 + "\n"),
        ("gunicorn.conf.py", "x = " + "+".join(["'a'"] * 3000) + "\n"),
        ("gunicorn.conf.py", "x = 'a' * 10 ** 9\ny = 'a' * 1000000000\nworkers = 1 / 0\n"),
        ("gunicorn.conf.py", "a = {}\na['a'] = a\nfor b in a:\n    a[b] = a\nworkers = -1\n"),
    ],
)
def test_files_of_any_form_are_survived(name: str, text: str, write: Write, check: Check) -> None:
    assert check(write({name: text})).code in {0, 1}


def test_pipes_and_links_to_the_outside_are_left_alone(
    write: Write, check: Check, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.write_text("services: [broken\n")
    root = write()
    (root / "compose.yaml").symlink_to(outside)
    os.mkfifo(root / "start.sh")
    assert check(root).code == 0
