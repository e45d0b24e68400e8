"""Each system check, shown to fire."""

from typing import Any

import pytest
from django.core.checks import Tags, run_checks
from django.db import connection, connections
from django.db.backends.postgresql.base import DatabaseWrapper

from database.budget import Budget


def ids(*tags: str, databases: list[str] | None = None) -> list[str | None]:
    return [message.id for message in run_checks(tags=tags or None, databases=databases)]


def test_the_project_as_generated_passes() -> None:
    assert ids() == []


@pytest.mark.django_db
def test_the_budget_as_generated_passes() -> None:
    assert ids(Tags.database, databases=["default"]) == []


{% if cookiecutter.__lends %}
def test_persistent_connections_that_nothing_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("database.checks._lends", lambda: False)
    assert ids() == ["database.E001"]
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", 0)
    assert ids() == []


{% endif %}
def test_a_pool_that_contradicts_conn_max_age(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "pool", True)
    assert "database.E002" in ids()


def test_an_engine_without_the_health_check(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = DatabaseWrapper(connection.settings_dict)
    monkeypatch.setattr(type(connections), "all", lambda *_, **__: [plain])
    assert ids() == ["database.E003"]


def test_another_worker_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUNICORN_CMD_ARGS", "--worker-class gunicorn.workers.base.Worker")
    assert ids() == ["database.E004"]


@pytest.mark.django_db
@pytest.mark.parametrize(("replicas", "expected"), [(1000, ["database.E005"]), (1, [])])
def test_a_budget_over_max_connections(settings: Any, replicas: int, expected: list[str]) -> None:
    settings.REPLICAS = replicas
    assert ids(Tags.database, databases=["default"]) == expected


@pytest.mark.django_db
def test_a_budget_that_a_reload_exceeds(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", "60")
    settings.DATABASE_SLOTS = 1
    assert ids(Tags.database, databases=["default"]) == ["database.W006"]


def test_the_budget_is_workers_by_slots_by_replicas() -> None:
    budget = Budget(workers=2, slots=10, replicas=3, usable=97)
    assert budget.steady == 60
    assert budget.reloading == 120
    assert "2 workers x 10 slots x 3 replicas = 60 connections of 97 usable" in str(budget)
