"""How gunicorn serves this project. Settings: https://docs.gunicorn.org/en/stable/settings.html"""

import os
import sys
from pathlib import Path

from connection_slots.gunicorn import (
    on_reload,  # noqa: F401 - the same checks, before new workers start
    on_starting,  # noqa: F401 - refuses what would let connections grow without bound
{% if cookiecutter.worker_class != 'asgi' %}
    post_request,  # noqa: F401 - gives up the slot that a request still has
{% endif %}
    post_worker_init,  # noqa: F401 - installs the slots, and checks that the driver yields
{% if cookiecutter.worker_class != 'asgi' %}
    pre_request,  # noqa: F401 - marks the beginning of a request
{% endif %}
)
from environs import Env, EnvError, validate

_env = Env()
if _file := os.environ.get("ENV_FILE", str(Path(__file__).with_name(".env"))):
    _env.read_env(_file, recurse=False)
try:
    _port = _env.int("PORT", default=8000, validate=validate.Range(min=1, max=65535))
    _workers = _env.int("WEB_CONCURRENCY", default=2, validate=validate.Range(min=1))
{% if cookiecutter.worker_class == 'gthread' %}
    _threads = _env.int("THREADS", default=20, validate=validate.Range(min=2))
{% endif %}
except EnvError as _error:
    sys.exit(f"Wrong environment, see .env.example: {_error}")

wsgi_app = "config.{{ cookiecutter.__gateway }}:application"
bind = f"0.0.0.0:{_port}"

# Connections to each database: workers x slots, here and in every replica. The sum has to
# stay below PostgreSQL's max_connections: `manage.py check --database default`.
workers = _workers

{% include "gunicorn/" ~ cookiecutter.worker_class ~ ".py" %}

# How long requests in flight may go on after a reload or a stop. Less than the grace period of
# the platform (30 s with Kubernetes, 10 s with Docker unless you raise stop_grace_period).
graceful_timeout = 25

# The heartbeat's file: on a disk that is slow to sync it would make a worker look dead.
worker_tmp_dir = next(filter(os.path.isdir, ["/dev/shm"]), None)  # noqa: S108

# One line per request on standard output, errors on standard error: the platform collects both.
accesslog = "-"

# The socket of gunicornc needs a writable home directory, which a container seldom has.
control_socket_disable = True

# The proxies whose X-Forwarded-Proto gunicorn trusts. If the proxy that ends TLS is missing here,
# the redirect to HTTPS does not end.
forwarded_allow_ips = _env.str("FORWARDED_ALLOW_IPS", default="127.0.0.1,::1")

# Recycling hides leaks, so it is off. When GUNICORN_CMD_ARGS="--max-requests 10000" turns it on,
# the jitter keeps workers from recycling all at once.
max_requests = 0
max_requests_jitter = 1000
{% if cookiecutter.__psycogreen %}


def post_fork(server: object, worker: object) -> None:
    """Make psycopg2 yield to other greenlets while it waits for PostgreSQL (psycogreen)."""
    from psycogreen.{{ cookiecutter.worker_class }} import patch_psycopg

    patch_psycopg()
{% endif %}
