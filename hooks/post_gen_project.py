"""Remove directories without files, and say what to type next."""

from pathlib import Path

PROJECT_SLUG = "{{ cookiecutter.project_slug }}"
PYTHON = "{{ cookiecutter.__python }}"
WORKER_CLASS = "{{ cookiecutter.worker_class }}"

# cookiecutter can leave out a file, but not its directory.
for path in sorted(Path.cwd().rglob("*"), reverse=True):
    if path.is_dir() and not any(path.iterdir()):
        path.rmdir()

print(f"""
{PROJECT_SLUG} is wired for gunicorn's {WORKER_CLASS} worker class. Next, with Python {PYTHON}
or later:

  cd {PROJECT_SLUG} && uv sync
  uv run devdb run gunicorn
""")
