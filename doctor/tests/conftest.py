"""Fixtures: small projects that are written in a test, and the doctor's answer on them."""

import json
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gunicorn_doctor.cli import main

# A service in which no rule finds anything. Tests replace or add files.
GOOD = {
    "manage.py": """
        import os
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    """,
    "config/settings.py": """
        DATABASES = {
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": "service",
                "CONN_MAX_AGE": 60,
                "OPTIONS": {"connect_timeout": 3, "options": "-c statement_timeout=15s"},
            }
        }
    """,
    "Procfile": "web: gunicorn config.wsgi --workers 2",
    "requirements.txt": "django==6.1\ngunicorn==27.0.1\npsycopg==3.2.10\n",
}

Write = Callable[..., Path]


@dataclass
class Answer:
    """What the doctor printed and returned."""

    code: int
    data: dict[str, Any]

    @property
    def rules(self) -> set[str]:
        """Return the ids of the rules that found something."""
        return {each["rule"] for each in self.data["findings"]}

    def messages(self, rule: str) -> list[str]:
        """Return the messages of one rule."""
        return [each["message"] for each in self.data["findings"] if each["rule"] == rule]

    def places(self, rule: str) -> list[str]:
        """Return where one rule found something, as path:line."""
        found = [each for each in self.data["findings"] if each["rule"] == rule]
        return [f"{each['path']}:{each['line']}" for each in found]


def database(**entries: str) -> str:
    """Return a settings module with one database. Values are Python expressions."""
    settings = {
        "ENGINE": "'django.db.backends.postgresql'",
        "OPTIONS": "{'connect_timeout': 3, 'options': '-c statement_timeout=15s'}",
        **entries,
    }
    items = "".join(f"    {key!r}: {value},\n" for key, value in settings.items())
    return f"import os\nDATABASES = {{'default': {{\n{items}}}}}\n"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes the good service with some files replaced or added.

    A value of None leaves a file out.
    """

    def files(replaced: dict[str, str | None] | None = None) -> Path:
        root = tmp_path / "service"
        for name, text in {**GOOD, **(replaced or {})}.items():
            if text is not None:
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(textwrap.dedent(text).lstrip("\n"))
        return root

    return files


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Return a function that checks a directory and returns the answer."""

    def run(root: Path, *options: str) -> Answer:
        code = main(["check", str(root), "--format", "json", *options])
        return Answer(code, json.loads(capsys.readouterr().out))

    return run


Check = Callable[..., Answer]
