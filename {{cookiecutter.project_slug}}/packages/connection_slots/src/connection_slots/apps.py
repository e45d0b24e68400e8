"""Register the system checks: put "connection_slots" into INSTALLED_APPS."""

from django.apps import AppConfig


class ConnectionSlotsConfig(AppConfig):
    """The Django app."""

    name = "connection_slots"

    def ready(self) -> None:
        """Import the checks, which registers them."""
        from connection_slots import checks  # noqa: F401
