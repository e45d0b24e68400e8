"""Serve HTTP with Django and websockets with channels. Each part has its own wrapper."""

from connection_slots.asgi import SlotsApplication, get_asgi_application

http = get_asgi_application()  # before what needs Django's apps

from channels.db import database_sync_to_async  # noqa: E402
from channels.generic.websocket import AsyncJsonWebsocketConsumer  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.urls import path  # noqa: E402

from .views import use_database  # noqa: E402


class Consumer(AsyncJsonWebsocketConsumer):
    """Answer each message with the connections that served it, and stay connected."""

    async def receive_json(self, content: object) -> None:
        """Use the database, and answer."""
        await self.send_json(await database_sync_to_async(use_database)())


application = ProtocolTypeRouter(
    {
        "http": http,
        "websocket": SlotsApplication(URLRouter([path("socket", Consumer.as_asgi())])),
    }
)
