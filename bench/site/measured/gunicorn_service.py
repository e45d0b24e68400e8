"""The generated project's own gunicorn.conf.py, less the log of requests, which peers lack too."""

from runpy import run_path

globals().update(
    {name: value for name, value in run_path("gunicorn.conf.py").items() if name[:2] != "__"}
)
accesslog = None
