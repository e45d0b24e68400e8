"""Registers the system checks."""

from django.apps import AppConfig


class DatabaseConfig(AppConfig):
    name = "database"

    def ready(self) -> None:
        from database import checks  # noqa: F401 - registered by being imported
