APPS = ["notes"]
INSTALLED_APPS = [*APPS, "connection_slots"]
MIDDLEWARE = [
    "config.middleware.request_id_middleware",
    # Before those that look at the host name and at HTTPS, of which probes use neither.
    "connection_slots.health.HealthMiddleware",
    "config.errors.json_errors_middleware",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "connection_slots.middleware.DatabaseUnavailableMiddleware",
]
# No cookie says who calls, so there is no cross-site request to forge.
SILENCED_SYSTEM_CHECKS += ["security.W003"]
# A client of an API gets a 404 for a wrong path, not a redirect that would lose its body.
APPEND_SLASH = False
