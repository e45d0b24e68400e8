"""Small projects for tests, and the doctor's answer on one."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
                "HOST": "db",
                "CONN_MAX_AGE": 60,
                "OPTIONS": {"connect_timeout": 3, "options": "-c statement_timeout=15s"},
            }
        }
    """,
    "Procfile": "web: gunicorn config.wsgi --workers 2",
    "requirements.txt": "django==6.1\ngunicorn==27.0.1\npsycopg==3.2.10\n",
}


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
        "HOST": "'db'",
        "OPTIONS": "{'connect_timeout': 3, 'options': '-c statement_timeout=15s'}",
        **entries,
    }
    items = "".join(f"    {key!r}: {value},\n" for key, value in settings.items())
    return f"import os\nDATABASES = {{'default': {{\n{items}}}}}\n"


Write = Callable[..., Path]
Check = Callable[..., Answer]
