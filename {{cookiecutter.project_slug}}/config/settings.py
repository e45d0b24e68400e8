"""Django settings: one file, driven by the environment (.env.example lists the variables)."""

from pathlib import Path

from environs import EnvValidationError, validate

from config import logs
from config.environment import environment, trusted_proxies

BASE_DIR = Path(__file__).resolve().parent.parent

env = environment()

# Security. Everything that needs HTTPS is on, except with DEBUG.
DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = env.str("SECRET_KEY", validate=validate.Length(min=1))
ALLOWED_HOSTS = (
    env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
    if DEBUG
    else env.list("ALLOWED_HOSTS", validate=validate.Length(min=1))
)
SECURE_SSL_REDIRECT = not DEBUG
SECURE_HSTS_SECONDS = 0 if DEBUG else 3600
# The proxies whose X-Request-ID is trusted; gunicorn.conf.py trusts their X-Forwarded-Proto.
FORWARDED_ALLOW_IPS = trusted_proxies(env)
# HSTS for subdomains and the preload list of browsers are decisions of the domain's owner.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]

{% include "settings/" ~ cookiecutter.service_kind ~ ".py" %}

ROOT_URLCONF = "config.urls"
{{ cookiecutter.__gateway | upper }}_APPLICATION = "config.{{ cookiecutter.__gateway }}.application"

# Connections: README.md, "Connections", says why these values fit the worker class.
GUNICORN_WORKER_CLASS = "{{ cookiecutter.worker_class }}"  # gunicorn refuses to start another one
{% if cookiecutter.worker_class == 'sync' %}
DATABASE_SLOTS = 1  # a sync worker serves one request at a time
{% else %}
DATABASE_SLOTS = env.int("DATABASE_SLOTS", default=10, validate=validate.Range(min=1))
{% endif %}
DATABASE_SLOT_TIMEOUT = env.float(
    "DATABASE_SLOT_TIMEOUT", default=5.0, validate=validate.Range(min=0.0, min_inclusive=False)
)
REPLICAS = env.int("REPLICAS", default=1, validate=validate.Range(min=1))
DATABASE_BACKGROUND_CONNECTIONS = env.int(
    "DATABASE_BACKGROUND_CONNECTIONS", default=0, validate=validate.Range(min=0)
)
# "transaction" behind PgBouncer: sessions are shared then, and keep nothing between transactions.
DATABASE_POOLER = env.str(
    "DATABASE_POOLER", default="", validate=validate.OneOf(["", "transaction"])
)
# While this file exists, /readyz is 503: the platform creates it before it stops the service.
DRAIN_FILE = env.str("DRAIN_FILE", default="")

_database = env.dj_db_url("DATABASE_URL")
_database_options = _database.get("OPTIONS", {})
if _database.get("ENGINE") != "django.db.backends.postgresql" or not _database.get("NAME"):
    raise EnvValidationError(
        'Environment variable "DATABASE_URL" invalid: '
        "write postgresql://user:password@host:port/name",
        error_messages=[],
    )
DATABASE_STATEMENT_TIMEOUT = env.int(
    "DATABASE_STATEMENT_TIMEOUT", default=15, validate=validate.Range(min=0)
)
if not DATABASE_POOLER:  # behind PgBouncer the role has them: `manage.py database_budget --sql`
    # PostgreSQL ends a statement before gunicorn's timeout (30 s), and an idle transaction before
    # it blocks others for long. It notices that a worker was killed, and ends its statement.
    _database_options["options"] = (
        f"-c statement_timeout={DATABASE_STATEMENT_TIMEOUT}s"
        " -c idle_in_transaction_session_timeout=30s"
        " -c client_connection_check_interval=2s " + _database_options.get("options", "")
    )
DATABASES = {
    "default": {
        **_database,
        "ENGINE": "connection_slots.backend",
        "CONN_MAX_AGE": env.int("CONN_MAX_AGE", default=60, validate=validate.Range(min=0)),
        "CONN_HEALTH_CHECKS": True,
        "DISABLE_SERVER_SIDE_CURSORS": DATABASE_POOLER == "transaction",
        "OPTIONS": {
            # The backend appends the pid of the worker, as seen in pg_stat_activity.
            "application_name": "{{ cookiecutter.project_slug }}",
            # Seconds for one attempt; libpq and psycopg take no less than 2.
            "connect_timeout": 3,
            # A host that vanished is noticed after 30 + 3 x 10 seconds of silence, or 15 seconds
            # after it stopped to acknowledge what was sent.
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
            "tcp_user_timeout": 15_000,
            **_database_options,
        },
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False

LOGGING = logs.configuration(debug=DEBUG, apps=APPS)
