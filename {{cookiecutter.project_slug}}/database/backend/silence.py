"""Ends statements whose server fell silent. A frozen network brings no error of its own.

No driver has a deadline for a statement, and TCP keepalive notices a host that vanished but not
a server or proxy that stopped. PostgreSQL ends a statement after statement_timeout and says so;
a connection on which nothing came back for longer has lost its server. The kernel knows how long
that is, so watching costs requests nothing.
"""

import os
import socket
import struct
import threading
import time
import weakref
from collections import deque
from typing import Any

ACTIVE = 1  # PQTRANS_ACTIVE, the same in psycopg and psycopg2
INTERVAL = 1.0  # seconds between two looks

# struct tcp_info of <linux/tcp.h>: tcpi_last_data_sent and tcpi_last_data_recv, milliseconds.
_TCP_INFO = struct.Struct("=44xI4xI")


class Watch:
    """One thread that looks at the connections of this process, from the first one on."""

    def __init__(self) -> None:
        self._pid = 0
        self._watched: deque[tuple[weakref.ref[Any], float]] = deque()

    def add(self, connection: Any, patience: float) -> None:
        """End what `connection` waits for after `patience` seconds of silence."""
        if self._pid != os.getpid():  # the first connection, or a forked child
            self._pid = os.getpid()
            self._watched.clear()
            threading.Thread(target=self._run, name="silence", daemon=True).start()
        self._watched.append((weakref.ref(connection), patience))

    def _run(self) -> None:
        while True:
            time.sleep(INTERVAL)
            for _ in range(len(self._watched)):
                reference, patience = self._watched.popleft()
                connection = reference()
                if connection is None or connection.closed:
                    continue
                if connection.info.transaction_status == ACTIVE:
                    hang_up_if_silent(connection.fileno(), patience)
                self._watched.append((reference, patience))
                del connection


def hang_up_if_silent(descriptor: int, patience: float) -> None:
    """Shut the socket down when the last data went and came more than `patience` seconds ago.

    The driver, which waits for the socket, then finds that the server closed the connection.
    """
    try:
        with socket.socket(fileno=os.dup(descriptor)) as own:
            info = own.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
            if min(_TCP_INFO.unpack(info)) > patience * 1000:
                own.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # closed meanwhile, or a Unix socket, whose server is on this machine


watch = Watch()
