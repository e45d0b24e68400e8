"""How gunicorn serves this project. Settings: https://docs.gunicorn.org/en/stable/settings.html

Connections to the database depend on what stands here; tests/test_gunicorn_conf.py says how.
"""

import os
import sys
from pathlib import Path

from environs import Env, EnvError, validate

from database.preflight import refuse_unless_sound

_env = Env()
_env.read_env(Path(__file__).with_name(".env"), recurse=False)
try:
    _port = _env.int("PORT", default=8000, validate=validate.Range(min=1, max=65535))
    _workers = _env.int("WEB_CONCURRENCY", default=2, validate=validate.Range(min=1))
{% if cookiecutter.worker_class == 'gthread' %}
    _slots = _env.int("DATABASE_SLOTS", default={{ cookiecutter.__slots }}, validate=validate.Range(min=1))
{% endif %}
except EnvError as _error:
    sys.exit(f"Wrong environment, see .env.example: {_error}")

wsgi_app = "config.{{ cookiecutter.__gateway }}:application"
bind = f"0.0.0.0:{_port}"

# Connections to each database: workers x slots, here and in every replica. The sum has to
# stay below PostgreSQL's max_connections: `manage.py check --database default`.
workers = _workers

{% include "gunicorn/" ~ cookiecutter.worker_class ~ ".py" %}

# How long requests in flight may go on after a reload or a stop. Less than the platform's
# own patience (30 s with Kubernetes, 10 s with Docker unless you raise stop_grace_period).
graceful_timeout = 25

# The heartbeat's file: on a disk that is slow to sync it would make a worker look dead.
worker_tmp_dir = next(filter(os.path.isdir, ["/dev/shm"]), None)  # noqa: S108

# One line per request on standard output, errors on standard error: both are the platform's.
accesslog = "-"

# gunicornc's socket wants a writable home directory, which a container seldom has.
control_socket_disable = True

# Whose X-Forwarded-Proto is believed: the proxy that ends TLS. If it is not named here, the
# redirect to HTTPS goes in circles.
forwarded_allow_ips = _env.str("FORWARDED_ALLOW_IPS", default="127.0.0.1,::1")

# Recycling hides leaks, and there should be none. Asked for (GUNICORN_CMD_ARGS="--max-requests
# 10000"), the jitter keeps workers from recycling all at once.
max_requests = 0
max_requests_jitter = 1000


def on_starting(server):
    """Refuse to start what could leak connections, before the port is open."""
    refuse_unless_sound(server.cfg{% if cookiecutter.worker_class == 'gthread' %}, _slots{% endif %})
{% if cookiecutter.__psycogreen %}


def post_fork(server, worker):
    """Make psycopg2 let other greenlets run while it waits for PostgreSQL (psycogreen)."""
    from psycogreen.{{ cookiecutter.worker_class }} import patch_psycopg

    patch_psycopg()
{% endif %}
{% if cookiecutter.__green %}


def post_worker_init(worker):
    """Refuse to serve with a driver that blocks: one slow query would stop every request."""
    from database.green import driver_yields

    if not driver_yields():
        worker.log.critical(
            "{{ cookiecutter.database_driver }} blocks the whole worker while it waits: "
{% if cookiecutter.__psycogreen %}
            "post_fork in gunicorn.conf.py has to call patch_psycopg()"
{% else %}
            "it was imported before gunicorn's monkey-patching; import nothing that uses it earlier"
{% endif %}
        )
        sys.exit(3)  # gunicorn.arbiter.Arbiter.WORKER_BOOT_ERROR: stop, do not try again


def post_request(worker, req, environ, resp):
    """Give the slot back that a request still holds: it was killed, or queried after its end."""
    from database.slots import end_request

    end_request()
{% endif %}
