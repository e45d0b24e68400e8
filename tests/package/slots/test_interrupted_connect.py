"""A timeout or a kill that hits a connect leaves no connection that no slot counts."""

import gc
import socket
import sys
import threading
from typing import Any

import pytest
from django.db import connection

from tests.package.slots.conftest import ask, held, wait_for

pytestmark = pytest.mark.skipif(
    "gevent.monkey" not in sys.modules, reason="only a greenlet can be interrupted in a connect"
)


def test_interrupted_connect_is_closed(pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from gevent import Timeout

    ended: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            client, _ = server.accept()
            with client:
                while data := client.recv(1000):
                    assert data  # the startup message, which is never answered
                ended.append(data)

        listener = threading.Thread(target=accept, daemon=True)
        listener.start()
        monkeypatch.setitem(connection.settings_dict, "PORT", str(server.getsockname()[1]))
        gc.disable()  # a connection that only the garbage collector finds is open for too long
        try:
            with pytest.raises(Timeout) as caught, Timeout(0.3):
                ask()
            wait_for(lambda: ended, "the connection to be closed", 2)
        finally:
            gc.enable()
        assert caught.value is not None
        assert held() == 0
    monkeypatch.undo()
    assert ask("SELECT 1") == 1
