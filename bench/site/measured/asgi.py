"""A peer's application, as Django's startproject writes it."""

from django.core.asgi import get_asgi_application

application = get_asgi_application()
