"""Say what to type next."""

PROJECT_SLUG = "{{ cookiecutter.project_slug }}"
PYTHON = "{{ cookiecutter.__python }}"
WORKER_CLASS = "{{ cookiecutter.worker_class }}"

print(f"""
{PROJECT_SLUG} is wired for gunicorn's {WORKER_CLASS} worker class. Next, with Python {PYTHON}
or later:

  cd {PROJECT_SLUG} && uv sync
  uv run devdb run gunicorn
""")
