"""Channels: websockets beside Django, in one ASGI application (tests/others/routing.py)."""

from tests.settings import *  # noqa: F403 - the project has it
from tests.settings import INSTALLED_APPS

ROOT_URLCONF = "tests.others.urls"
INSTALLED_APPS += ["channels"]
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
