"""gunicorn for a peer: the generated gunicorn.conf.py, without the hooks of connection_slots."""

import os
from runpy import run_path

_HOOKS = ("on_starting", "on_reload", "post_worker_init", "pre_request", "post_request")
globals().update(
    (name, value)
    for name, value in run_path("gunicorn.conf.py").items()
    if not name.startswith("_") and name not in _HOOKS
)
if worker_class == "asgi":  # noqa: F821
    wsgi_app = os.environ["BENCH_APPLICATION"]
