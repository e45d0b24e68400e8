"""End statements whose server has fallen silent. A frozen network raises no error of its own.

No driver has a timeout for a statement, and TCP keepalive notices a host that vanished but not a
server or proxy that stopped. PostgreSQL ends a statement after statement_timeout and says so. A
session that has waited for longer, and has nothing to read, has lost its server.

Statements that read or send data slowly (COPY, stream()) are not watched, nor are those after a
change of statement_timeout, nor any when the server has no statement_timeout.
"""

import logging
import os
import socket
import threading
import time
import weakref

from connection_slots.backend.session import Session

logger = logging.getLogger("connection_slots")

INTERVAL = 1.0  # seconds between two looks

# Seconds that the server's message about a statement that it ended may be on its way.
ANSWER_TAKES = 3.0


class Watchdog:
    """One thread for each process, from the first session on. It is started again if it ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sessions: weakref.WeakSet[Session] = weakref.WeakSet()
        self._thread: threading.Thread | None = None
        self._pid = 0

    def watch(self, session: Session) -> None:
        """Watch the statements of `session`, which knows its statement_timeout."""
        session.watched = True
        with self._lock:
            if self._pid != os.getpid():  # the first session, or a forked child
                self._pid, self._thread = os.getpid(), None
                self._sessions = weakref.WeakSet()
            self._sessions.add(session)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            time.sleep(INTERVAL)
            try:
                self.look()
            except Exception:
                logger.exception("the watchdog could not look at the sessions of this process")

    def look(self) -> None:
        """End the statements that have waited for too long."""
        with self._lock:
            sessions = list(self._sessions)
        for session in sessions:
            since = session.waiting_since
            if not since or not session.watched or session.timeout is None:
                continue
            waited = time.monotonic() - since
            if waited > session.timeout + ANSWER_TAKES and not session.is_readable():
                self._end(session, since, waited)

    def _end(self, session: Session, since: float, waited: float) -> None:
        """Shut the socket down: the driver, which waits for it, finds the connection closed."""
        try:
            with socket.socket(fileno=os.dup(session.raw.fileno())) as copy:
                if session.waiting_since != since:
                    return  # it has ended: the descriptor may be another connection's by now
                copy.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it was closed meanwhile
        logger.warning(
            "PostgreSQL did not answer for %.1f s, longer than its statement_timeout of %g s: "
            "the connection was closed during %.200r",
            waited,
            session.timeout,
            session.statement,
        )


watchdog = Watchdog()
