"""checks.py: each check reports what it is for, and nothing else."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.checks import CheckMessage, run_checks
from django.db import connection, connections
from django.db.backends.postgresql.base import DatabaseWrapper
from django.db.backends.postgresql.psycopg_any import is_psycopg3
from django.test import override_settings

from connection_slots import checks
from connection_slots.budget import Budget

HOOKS = "from connection_slots.gunicorn import post_request, post_worker_init, pre_request\n"
GTHREAD = f"{HOOKS}worker_class = 'gthread'\nthreads = 4\nworkers = 1\n"

Configure = Callable[[str], None]


@pytest.fixture(autouse=True)
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Configure]:
    """Write gunicorn.conf.py in a project of the test's own. It fits the settings at first."""
    monkeypatch.delenv("GUNICORN_CMD_ARGS", raising=False)

    def write(text: str) -> None:
        (tmp_path / "gunicorn.conf.py").write_text(text)

    write(GTHREAD)
    with override_settings(BASE_DIR=tmp_path):
        yield write


def found(databases: list[str] | None = None) -> list[str]:
    """Return the ids of what the checks of this package report, in order."""
    return sorted(str(message.id).rpartition(".")[2] for message in messages(databases))


def messages(databases: list[str] | None = None) -> list[CheckMessage]:
    """Return what the checks of this package report."""
    reported = run_checks(databases=databases)
    return [one for one in reported if str(one.id).startswith("connection_slots.")]


def test_nothing_is_reported_when_all_is_well() -> None:
    assert found(["default", "other"]) == []


# E001, E002: the databases


def test_engine() -> None:
    plain = DatabaseWrapper(connections["other"].settings_dict, "other")
    connections["other"] = plain
    try:
        (message,) = messages()
    finally:
        del connections["other"]
    assert message.id == "connection_slots.E001"
    assert 'DATABASES["other"]' in message.msg
    assert 'set it to "connection_slots.backend"' in message.msg


@pytest.mark.parametrize("max_age", [0, 60, None])
@pytest.mark.parametrize(
    ("pool", "expected"), [(True, ["E002"]), ({"min_size": 1}, ["E002"]), (False, []), ({}, [])]
)
def test_pool(
    pool: object, max_age: int | None, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    database = connections.settings["other"]
    monkeypatch.setitem(database, "OPTIONS", {**database["OPTIONS"], "pool": pool})
    monkeypatch.setitem(database, "CONN_MAX_AGE", max_age)
    assert found() == expected


# E003: DATABASE_SLOTS


@pytest.mark.parametrize(
    ("count", "expected"),
    [(1, []), (50, []), (0, ["E003"]), (-1, ["E003"]), ("2", ["E003"]), (None, ["E003"])],
)
def test_slots(count: object, expected: list[str]) -> None:
    with override_settings(DATABASE_SLOTS=count):
        assert found() == expected


def test_slots_missing() -> None:
    with override_settings():
        del settings.DATABASE_SLOTS
        assert found() == ["E003"]


def test_budget_without_slots() -> None:
    with override_settings(DATABASE_SLOTS=None):
        assert found(["default"]) == ["E003"]


@pytest.mark.parametrize(("count", "expected"), [(1, []), (2, ["E003"])])
def test_slots_of_sync(count: int, expected: list[str], configure: Configure) -> None:
    configure(f"{HOOKS}worker_class = 'sync'\n")
    with override_settings(DATABASE_SLOTS=count, GUNICORN_WORKER_CLASS="sync"):
        assert found() == expected


# E004: the worker class, and preload


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("", []),
        ("--log-level debug", []),
        ("-k gthread", []),
        ("--workers 1 --threads 8", []),
        ("-k gevent", ["E004"]),
        ("--worker-class=sync --threads 1", ["E004"]),
        ("--worker-class uvicorn.workers.UvicornWorker", ["E004"]),
        ("--preload", ["E004"]),
        ("-k gevent --preload", ["E004", "E004"]),
    ],
)
def test_gunicorn_arguments(
    arguments: str, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GUNICORN_CMD_ARGS", arguments)
    assert found() == expected


@pytest.mark.parametrize(
    ("declared", "text", "expected"),
    [
        ("gthread", "worker_class = 'sync'\nthreads = 4", []),  # gunicorn makes it gthread
        ("sync", "worker_class = 'sync'", []),
        ("sync", "worker_class = 'sync'\nthreads = 4", ["E004"]),
        ("gevent", "worker_class = 'gthread'\nthreads = 4", ["E004"]),
        ("gthread", "worker_class = 'gthread'\npreload_app = True", ["E004"]),
        ("gevent", "worker_class = 'gevent'", []),
        ("gevent", "worker_class = 'gevent'\nthreads = 4", []),
        ("asgi", "worker_class = 'asgi'", []),
    ],
)
def test_gunicorn_file(declared: str, text: str, expected: list[str], configure: Configure) -> None:
    configure(HOOKS + text)
    with override_settings(GUNICORN_WORKER_CLASS=declared, DATABASE_SLOTS=1):
        assert found() == expected


def test_worker_class_is_not_declared() -> None:
    with override_settings():
        del settings.GUNICORN_WORKER_CLASS
        (message,) = messages()
    assert message.id == "connection_slots.E004"
    assert "not named" in message.msg


def test_file_that_the_arguments_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other.py"
    other.write_text(f"{HOOKS}worker_class = 'gevent'\n")
    monkeypatch.setenv("GUNICORN_CMD_ARGS", f"--config {other}")
    assert found() == ["E004"]


def test_module_that_the_arguments_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other_configuration.py").write_text(f"{HOOKS}worker_class = 'gevent'\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("GUNICORN_CMD_ARGS", "--config python:other_configuration")
    assert found() == ["E004"]


# E005: the hooks


@pytest.mark.parametrize(
    ("declared", "hooks", "missing"),
    [
        ("gthread", "post_worker_init, pre_request, post_request", None),
        ("gthread", "pre_request, post_request", "no post_worker_init: "),
        ("gthread", "post_worker_init", "no pre_request and no post_request: "),
        ("asgi", "post_worker_init", None),
        ("asgi", "on_starting", "no post_worker_init: "),
    ],
)
def test_hooks(declared: str, hooks: str, missing: str | None, configure: Configure) -> None:
    configure(
        f"from connection_slots.gunicorn import {hooks}\n"
        f"worker_class = {declared!r}\n"
        f"threads = {4 if declared == 'gthread' else 1}\n"
    )
    with override_settings(GUNICORN_WORKER_CLASS=declared):
        reported = messages()
    assert [one.id for one in reported] == (["connection_slots.E005"] if missing else [])
    assert all(str(missing) in one.msg for one in reported)


def test_without_gunicorn_file(tmp_path: Path) -> None:
    (tmp_path / "gunicorn.conf.py").unlink()
    assert found() == ["E004", "E005"]


# E006, W007, W008: the budget


@pytest.fixture
def usable() -> int:
    """How many connections an ordinary role may open."""
    return checks.server_of("default").usable


def test_usable_excludes_what_is_reserved(usable: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('max_connections')::int,"
            " current_setting('superuser_reserved_connections')::int"
            " + coalesce(current_setting('reserved_connections', true)::int, 0)"
        )
        most, reserved = cursor.fetchone()
    assert reserved > 0
    assert usable == most - reserved


@pytest.mark.parametrize(
    ("share", "more", "expected"),
    [(0.5, 0, []), (0.5, 1, ["W007"]), (1.0, 0, ["W007"]), (1.0, 1, ["E006"]), (9.0, 0, ["E006"])],
)
def test_budget(
    share: float, more: int, expected: list[str], usable: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connections.settings["other"], "HOST", "elsewhere")
    with override_settings(DATABASE_SLOTS=int(share * usable) + more):
        assert found(["default"]) == expected
        assert found() == []


@pytest.mark.parametrize("factor", ["workers", "replicas", "arguments"])
def test_budget_multiplies(
    factor: str, usable: int, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = str(usable + 1)
    if factor == "workers":
        configure(GTHREAD.replace("workers = 1", f"workers = {many}"))
    elif factor == "arguments":
        monkeypatch.setenv("GUNICORN_CMD_ARGS", f"--workers {many}")
    replicas = int(many) if factor == "replicas" else 1
    with override_settings(DATABASE_SLOTS=1, REPLICAS=replicas):
        assert found(["default"]) == ["E006"]


def test_aliases_of_one_server_add_up(usable: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with override_settings(DATABASE_SLOTS=usable * 2 // 3):
        (message,) = messages(["other"])
        assert message.id == "connection_slots.E006"
        assert message.msg.startswith("default, other: ")
        assert " x 2 aliases x " in message.msg
        assert [one.id for one in messages(["default", "other"])] == ["connection_slots.E006"]
        monkeypatch.setitem(connections.settings["other"], "HOST", "elsewhere")
        (message,) = messages(["default"])
        assert message.id == "connection_slots.W007"
        assert "aliases" not in message.msg


def test_names_of_the_own_machine_are_one_server(
    usable: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connections.settings["default"], "HOST", "127.0.0.1")
    monkeypatch.setitem(connections.settings["other"], "HOST", "localhost")
    with override_settings(DATABASE_SLOTS=usable * 2 // 3):
        (message,) = messages(["default"])
    assert message.msg.startswith("default, other: ")


def test_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connection_slots.backend.base.RESTART_TAKES", 0.0)
    monkeypatch.setitem(connections.settings["other"], "PORT", "1")
    connections.close_all()
    (message,) = messages(["other"])
    assert message.id == "connection_slots.W008"
    assert message.msg.startswith("other: the budget was not checked: ")
    assert found(["default"]) == []


def test_budget_is_readable() -> None:
    one: Any = Budget(workers=2, slots=10, aliases=1, replicas=3, usable=97)
    assert str(one) == "2 workers x 10 slots x 3 replicas = 60 connections of 97 usable"
    assert (one.steady, one.replacing) == (60, 120)
    two = Budget(workers=2, slots=10, aliases=2, replicas=1, usable=97)
    assert str(two).startswith("2 workers x 10 slots x 2 aliases x 1 replicas = 40 ")


def test_background_is_added_once() -> None:
    one = Budget(workers=2, slots=10, aliases=1, replicas=3, usable=97, background=8)
    assert str(one) == (
        "2 workers x 10 slots x 3 replicas + 8 background = 68 connections of 97 usable"
    )
    assert (one.steady, one.replacing) == (68, 128)


def test_background_connections_count() -> None:
    usable = checks.server_of("default").usable
    with override_settings(DATABASE_SLOTS=1, DATABASE_BACKGROUND_CONNECTIONS=usable):
        (message,) = messages(["default"])
    assert message.id == "connection_slots.E006"
    assert f"+ {usable} background = {usable + 2} connections" in message.msg
    assert "DATABASE_BACKGROUND_CONNECTIONS" in str(message.hint)
    with override_settings(DATABASE_SLOTS=1, DATABASE_BACKGROUND_CONNECTIONS=usable - 4):
        assert found(["default"]) == []


# E009, W010: the pooler


@pytest.mark.usefixtures("pooled")
def test_pooler() -> None:
    assert found() == []


def test_pooler_of_another_kind() -> None:
    with override_settings(DATABASE_POOLER="session"):
        (message,) = messages()
    assert message.id == "connection_slots.E009"
    assert "'session'" in message.msg


def test_pooler_without_its_databases() -> None:
    with override_settings(DATABASE_POOLER="transaction"):
        (message,) = messages()
    assert "DISABLE_SERVER_SIDE_CURSORS" in message.msg


@pytest.mark.usefixtures("pooled")
@pytest.mark.parametrize(
    ("option", "value"),
    [("options", "-c lock_timeout=1s"), ("assume_role", "x"), ("prepare_threshold", 5)],
)
def test_option_that_pooler_refuses(
    option: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connections.settings["other"]["OPTIONS"], option, value)
    (message,) = messages()
    assert message.id == "connection_slots.E009"
    assert f'DATABASES["other"]["OPTIONS"] has {option!r}' in message.msg


@pytest.mark.usefixtures("pooled")
def test_isolation_level_behind_pooler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connections.settings["other"]["OPTIONS"], "isolation_level", 3)
    assert found() == ([] if is_psycopg3 else ["E009"])


@pytest.mark.usefixtures("pooled")
def test_discard_all_behind_pooler() -> None:
    with override_settings(DATABASE_DISCARD_ALL=True):
        assert found() == ["E009"]


@pytest.mark.usefixtures("pooled")
def test_role_without_timeout_behind_pooler() -> None:
    connections.close_all()  # those with the timeout in `options`
    assert found(["default"]) == ["W010"]
    (message,) = messages(["default"])
    assert "database_budget --sql" in str(message.hint)
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = '15s'")
        assert found(["default"]) == []
    connections.close_all()
