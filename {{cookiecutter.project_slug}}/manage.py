"""Django's command line for this project."""

import os
import sys

from django.core.management import execute_from_command_line
from environs import EnvError


def main() -> None:
    """Run a management command."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    # A migration may take long. Only requests have to end before gunicorn's timeout.
    os.environ.setdefault("DATABASE_STATEMENT_TIMEOUT", "0")
    try:
        execute_from_command_line(sys.argv)
    except EnvError as error:
        sys.exit(f"Wrong environment, see .env.example: {error}")


if __name__ == "__main__":
    main()
