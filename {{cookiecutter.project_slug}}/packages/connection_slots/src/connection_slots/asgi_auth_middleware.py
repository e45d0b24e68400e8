"""As asgi_middleware, for Django's sessions, users and messages: where these are installed."""

from typing import Any

from django.conf import settings
from django.contrib.auth.middleware import AuthenticationMiddleware as DjangoAuthentication
from django.contrib.messages.middleware import MessageMiddleware as DjangoMessage
from django.contrib.sessions.middleware import SessionMiddleware as DjangoSession

from connection_slots.asgi_middleware import OnEventLoop


class SessionMiddleware(OnEventLoop, DjangoSession):
    """Set request.session, which reads the database when it is first used."""

    def may_wait(self, request: Any) -> bool:
        """Return True if the session has to be saved."""
        session = getattr(request, "session", None)  # a view may have removed it
        return bool(getattr(session, "modified", False) or settings.SESSION_SAVE_EVERY_REQUEST)


class AuthenticationMiddleware(OnEventLoop, DjangoAuthentication):
    """Set request.user, which reads the database when it is first used."""


class MessageMiddleware(OnEventLoop, DjangoMessage):
    """Set the storage of messages, which may be the session."""

    def may_wait(self, request: Any) -> bool:
        """Return True if there are messages to store or to remove."""
        storage = getattr(request, "_messages", None)
        return storage is not None and bool(storage.used or storage.added_new)
