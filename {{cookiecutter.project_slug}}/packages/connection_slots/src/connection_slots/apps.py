"""Register the system checks: put "connection_slots" into INSTALLED_APPS."""

import logging

from django.apps import AppConfig

logger = logging.getLogger("connection_slots")


class ConnectionSlotsConfig(AppConfig):
    """The Django app."""

    name = "connection_slots"

    def ready(self) -> None:
        """Import the checks, which registers them, and warn of a driver that blocks."""
        from connection_slots import checks  # noqa: F401

        if problem := blocking_driver():
            logger.warning(problem)


def blocking_driver() -> str | None:
    """Return a warning if this process runs on greenlets and the driver blocks them all.

    A gunicorn worker refuses to serve in that case. Other processes, such as `celery -P gevent`,
    would work, but on one task at a time.
    """
    from connection_slots import concurrency

    library = concurrency.current().__name__.rpartition(".")[2]
    if library == "threads":
        return None
    # Not earlier: psycopg chooses how it waits when it is imported.
    from django.db.backends.postgresql.psycopg_any import is_psycopg3

    if concurrency.current().driver_problem(is_psycopg3) is None:
        return None
    if not is_psycopg3:
        driver = "psycopg2"
        remedy = f"call psycogreen.{library}.patch_psycopg() before Django starts"
    elif library == "gevent":
        driver, remedy = "psycopg", "import psycopg after gevent's monkey-patching, not before"
    else:
        driver, remedy = (
            "psycopg",
            "psycopg 3 does not support eventlet, use psycopg2",
        )
    return (
        f"{driver} blocks all greenlets of this process while one of them waits for PostgreSQL, "
        f"because the process is patched by {library}: {remedy}."
    )
