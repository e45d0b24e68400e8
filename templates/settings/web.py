APPS = ["accounts", "notes"]
INSTALLED_APPS = [
    *APPS,
    "connection_slots",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "config.middleware.request_id_middleware",
    # Before those that look at the host name and at HTTPS, of which probes use neither.
    "connection_slots.health.HealthMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "{{ 'config.static.StaticFilesMiddleware' if cookiecutter.__gateway == 'asgi' else 'whitenoise.middleware.WhiteNoiseMiddleware' }}",
    "{{ 'csp.middleware.CSPMiddleware' if cookiecutter.django_version == '5.2' else 'django.middleware.csp.ContentSecurityPolicyMiddleware' }}",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "connection_slots.middleware.DatabaseUnavailableMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# Users and sessions.
AUTH_USER_MODEL = "accounts.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = LOGOUT_REDIRECT_URL = "home"
SESSION_COOKIE_SECURE = not DEBUG
CSRF_COOKIE_SECURE = not DEBUG
# Origins other than the service's own from which a form may be sent, with scheme and port.
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

# Scripts, styles and pictures come from this service only. The admin needs no more than that.
_policy = {
    "default-src": ["'self'"],
    "base-uri": ["'none'"],
    "form-action": ["'self'"],
    "frame-ancestors": ["'none'"],
    "object-src": ["'none'"],
}
{{ 'CONTENT_SECURITY_POLICY = {"DIRECTIVES": _policy}' if cookiecutter.django_version == '5.2' else 'SECURE_CSP = _policy' }}

# Static files: `manage.py collectstatic` gives them hashed names and compresses them. WhiteNoise
# serves them from STATIC_ROOT, and with DEBUG from where they are.
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
