"""Remove what the template's own tests left in packages/, and say what to type next."""

import shutil
from pathlib import Path

PROJECT_SLUG = "{{ cookiecutter.project_slug }}"
PYTHON = "{{ cookiecutter.__python }}"
WORKER_CLASS = "{{ cookiecutter.worker_class }}"

# packages/ is copied as it lies in the template, where linter, type checker and tests run on it.
LEFTOVERS = {"__pycache__", ".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".venv"}

NEXT = f"""
{PROJECT_SLUG} is wired for gunicorn's {WORKER_CLASS} worker class. Next, with Python {PYTHON}
or later:

  cd {PROJECT_SLUG} && uv sync
  uv run devdb run gunicorn
"""

for path in list(Path("packages").rglob("*")):
    if path.name in LEFTOVERS and path.is_dir():
        shutil.rmtree(path)

print(NEXT)
