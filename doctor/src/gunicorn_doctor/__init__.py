"""Find contradictions between a Django project's database settings and how gunicorn serves it."""

from importlib.metadata import version

__version__ = version("django-gunicorn-doctor")
