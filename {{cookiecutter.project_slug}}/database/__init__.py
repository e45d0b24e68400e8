"""All about connections: they belong to slots, and slots are counted."""

# The gunicorn worker class that this package is wired for.
WORKER_CLASS = "{{ cookiecutter.worker_class }}"
