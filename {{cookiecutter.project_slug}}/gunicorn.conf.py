"""How gunicorn serves this project. Settings: https://docs.gunicorn.org/en/stable/settings.html"""

{% include "gunicorn/imports-" ~ cookiecutter.__views ~ ".py" %}
from environs import EnvError, validate

from config import logs
from config.environment import environment, trusted_proxies

try:
    _env = environment()
    _debug = _env.bool("DEBUG", default=False)
    _proxies = trusted_proxies(_env)
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

# One line per request and per error, in the form of the service's own log: config/logs.py.
logconfig_dict = logs.configuration(debug=_debug)

# The socket of gunicornc needs a writable home directory, which a container seldom has.
control_socket_disable = True

# The proxies whose X-Forwarded-Proto gunicorn trusts. If the proxy that ends TLS is missing here,
# the redirect to HTTPS does not end.
forwarded_allow_ips = ",".join(_proxies)

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
{% if cookiecutter.service_kind == 'web' %}


def on_starting(server: Any) -> None:
    """Refuse to start without static files, or with what would let connections grow."""
    if not _debug and not Path("staticfiles", "staticfiles.json").exists():
        sys.exit("gunicorn does not start: run `python manage.py collectstatic`, or set DEBUG=true")
    _refuse_unbounded_connections(server)
{% endif %}
