"""gunicorn.conf.py: gunicorn ignores what it does not know, so what stands there is checked."""

from types import ModuleType

import pytest
from django.conf import settings
from gunicorn.config import KNOWN_SETTINGS, Config

from database import WORKER_CLASS
from database.checks import effective_config
from tests.server import ROOT


@pytest.fixture(scope="module")
def config() -> Config:
    return effective_config()


def test_every_name_is_a_setting_of_gunicorns() -> None:
    file = ROOT / "gunicorn.conf.py"
    names: dict[str, object] = {"__file__": str(file)}
    exec(file.read_text(), names)  # noqa: S102
    own = {
        name
        for name, value in names.items()
        if not name.startswith("_")
        and not isinstance(value, ModuleType)
        and getattr(value, "__globals__", names) is names  # not an imported function
        and not isinstance(value, type)
    }
    assert own
    assert own <= {setting.name for setting in KNOWN_SETTINGS}


def test_the_worker_class_is_the_one_that_connections_are_wired_for(config: Config) -> None:
    assert config.worker_class_str == WORKER_CLASS


def test_time_limits_respect_each_other(config: Config) -> None:
    options = settings.DATABASES["default"]["OPTIONS"]
    connect = 3 + options["connect_timeout"]
    assert "statement_timeout=15s" in options["options"]
    waits = {{ "settings.DATABASE_SLOT_TIMEOUT + " if cookiecutter.__lends else "" }}connect + 15
    assert waits < config.timeout
    assert 15 < config.graceful_timeout < 30


def test_recycling_is_off_until_asked_for(config: Config) -> None:
    assert config.max_requests == 0
    assert config.max_requests_jitter > 0


def test_workers_are_those_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", "7")
    monkeypatch.setenv("PORT", "8123")
    config = effective_config()
    assert config.workers == 7
    assert config.address == [("0.0.0.0", 8123)]
{% if cookiecutter.worker_class == 'gthread' %}


def test_there_is_a_thread_for_each_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_SLOTS", "9")
    assert effective_config().threads == 9
{% endif %}
