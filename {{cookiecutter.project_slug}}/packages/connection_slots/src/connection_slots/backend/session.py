"""One open driver connection, with the state that has to travel with it from owner to owner."""

import logging
import os
import weakref
from _thread import get_ident
from collections.abc import Callable
from contextlib import suppress
from select import POLLIN
from time import monotonic
from typing import TYPE_CHECKING, Any

from django.db.backends.postgresql.psycopg_any import is_psycopg3
from django.db.utils import ProgrammingError

from connection_slots.backend.pooler import refuse_session_state
from connection_slots.backend.session_state import (
    NO_EFFECT,
    Effect,
    analysis_of,
)
from connection_slots.errors import mark_connection_lost

if TYPE_CHECKING:
    from connection_slots.backend.base import SlotsMixin

logger = logging.getLogger("connection_slots")

IDLE, ACTIVE = 0, 1  # libpq's PGTransactionStatusType; a closed connection has another one

# Seconds without use after which silence on the socket no longer proves that the server is there:
# less than any load balancer or NAT gateway takes to drop an idle connection.
TRUSTED_SILENCE = 30.0

# Seconds that a slot stays with its owner after an INSERT without RETURNING: currval() may follow.
SEQUENCE_GRACE = 1.0

# Seconds between two warnings about connections that were closed for what a request did.
WARN_EVERY = 60.0


class Session:
    """A driver connection in the hands of one DatabaseWrapper at a time."""

    __slots__ = (
        "__weakref__",
        "_closed_before",
        "_driver_state",
        "_lost",
        "_poller",
        "alias",
        "changed",
        "close_at",
        "isolation_level",
        "new_poll",
        "open_cursors",
        "pid",
        "pooled",
        "raw",
        "standing_wrappers",
        "statement",
        "status",
        "stays",
        "target",
        "timeout",
        "used_at",
        "waiting_since",
        "watched",
        "wrapper",
    )

    def __init__(self, raw: Any, wrapper: "SlotsMixin", new_poll: Callable[[], Any]) -> None:
        self.raw = raw
        self.alias = wrapper.alias
        self.wrapper: SlotsMixin | None = wrapper
        self.pid = os.getpid()
        self.pooled = False  # behind a transaction pooler, and initialised
        self.open_cursors: set[int] = set()
        # A statement that changed the session: the connection is closed, not reused.
        self.changed: str | None = None
        # The slot stays with its owner until the request ends: a statement used a sequence, or
        # changed the session.
        self.stays = False
        # Execute wrappers that receivers of connection_created added.
        self.standing_wrappers: list[Any] = []
        self.close_at: float | None = None  # seconds, monotonic
        self.used_at = monotonic()
        self.waiting_since = 0.0  # when the running statement was sent; 0 while there is none
        self.statement: object = None
        self.timeout: float | None = None  # the server's statement_timeout in seconds, if known
        self.watched = False
        # The program closed the connection before the statement; it broke during a statement.
        self._closed_before = self._lost = False
        self._driver_state: object = None
        self.target: tuple[object, ...] = ()  # the database that it is connected to
        self.isolation_level: object = None
        self.new_poll = new_poll
        self._poller = new_poll()
        self._poller.register(raw.fileno(), POLLIN)
        self.status: Callable[[], int] = (
            _psycopg_status(raw) if is_psycopg3 else raw.get_transaction_status
        )
        _by_connection[id(raw)] = self

    @staticmethod
    def of(raw: Any) -> "Session | None":
        """Return the session of a driver connection."""
        return _by_connection.get(id(raw))

    def settle(self, close_at: float | None, standing_wrappers: list[Any]) -> None:
        """Take the present state as the one in which every owner finds the session."""
        self.close_at = close_at
        self.standing_wrappers = standing_wrappers
        self.changed, self.stays = None, False
        self._driver_state = self._read_driver_state()

    # State

    def is_unchanged(self) -> bool:
        """Return True if the next owner finds the session as if it were new. No round trip."""
        return (
            self.changed is None
            and not self.open_cursors
            and self.status() == IDLE
            and self._driver_state == self._read_driver_state()
        )

    def reason_to_close(self) -> str:
        """Say what a request did that keeps the connection from being reused."""
        if self.changed is not None:
            return f"the statement {self.changed!r} changed its session"
        if self.open_cursors:
            return "a cursor was left open"
        if self.status() != IDLE:
            return "a transaction was left open"
        return "an attribute of the driver connection was changed"

    def is_alive(self) -> bool:
        """Return True if the server has neither closed the connection nor said anything.

        A server that closes a connection leaves a message or the end of the stream in the socket.
        """
        silent_for = monotonic() - self.used_at
        return not self.raw.closed and silent_for < TRUSTED_SILENCE and not self._poller.poll(0)

    def is_readable(self) -> bool:
        """Return True if the server has sent something that was not read yet. For any thread."""
        poller = self.new_poll()
        poller.register(self.raw.fileno(), POLLIN)
        return bool(poller.poll(0))

    # pool.Resource

    def may_change_owner(self) -> bool:
        """Return False while an owner has changed the session behind the backend's back."""
        return self.raw.closed or self.is_unchanged()

    def detach(self) -> None:
        """Forget the wrapper, so that two wrappers never share a driver connection."""
        wrapper, self.wrapper = self.wrapper, None
        if wrapper is not None:
            wrapper.detached(self)

    def close(self) -> None:
        """Close the driver connection without waiting, unless it belongs to the parent process."""
        self.wrapper = None
        if self.pid == os.getpid():
            self.raw.close()

    # Statements

    def begin(self, query: object, parameters: object) -> None:
        """Note a statement before it is sent."""
        self.statement = query
        self._closed_before = self.raw.closed and not self._lost
        if query.__class__ is str:
            found = analysis_of(query)
            if found is not NO_EFFECT:
                self._note(found.effect_with(parameters), query)
        else:
            self._note(analysis_of(self._text(query)).effect_with(parameters), query)
        self.waiting_since = monotonic()

    def failed(self, error: BaseException) -> None:
        """Note an exception of the driver, or one that interrupted it."""
        if self.raw.closed:
            if not self._closed_before:
                self._lost = True
                mark_connection_lost(error)
        elif not isinstance(error, Exception) and self.status() == ACTIVE:
            self.raw.close()  # nobody will read the answer

    def _note(self, effect: Effect, query: object) -> None:
        if self.pooled:
            refuse_session_state(effect, in_transaction=self.status() != IDLE)
        if effect & Effect.CHANGES and self.changed is None:
            self.changed = self._text(query)[:100]
        if effect & (Effect.CHANGES | Effect.KEEPS):
            self.stays = True
        if effect & Effect.SETS_TIMEOUT:
            self.watched = False
        if self.wrapper is not None and self.wrapper.slot_owner.slot is not None:
            owner = self.wrapper.slot_owner
            if effect & Effect.READS_SEQUENCE and owner.sequence_lost:
                raise ProgrammingError(
                    "currval() and lastval() answer for one session, and this request has another "
                    "one since its INSERT: use RETURNING, transaction.atomic() or hold()"
                )
            if effect & Effect.ADVANCES_SEQUENCE:
                owner.sequence_advanced, owner.sequence_lost = True, False
            if effect & Effect.READ_SOON:
                owner.grace = SEQUENCE_GRACE

    def _text(self, query: object) -> str:
        if isinstance(query, bytes):
            return query.decode(errors="replace")
        if hasattr(query, "as_string"):
            return str(query.as_string(self.raw))
        return str(query)

    # Cursors

    def cursor_opened(self, cursor: Any) -> None:
        """Hold the slot until `cursor` is closed or collected."""
        cursor.session = self
        self.open_cursors.add(id(cursor))

    def cursor_closed(self, cursor: object) -> None:
        """Release the slot if this was the last reason to hold it."""
        cursors, wrapper = self.open_cursors, self.wrapper
        cursors.discard(id(cursor))
        if not cursors and wrapper is not None and wrapper.belongs_to(get_ident()):
            wrapper.release_if_idle()

    def cursor_abandoned(self, cursor: object, on_server: bool) -> None:
        """Note a cursor that was collected without being closed. Runs in a finalizer."""
        if on_server and self.changed is None and not self.raw.closed:
            self.changed, self.stays = "DECLARE CURSOR", True
        self.open_cursors.discard(id(cursor))
        wrapper = self.wrapper
        if wrapper is not None and wrapper.belongs_to(get_ident()):
            wrapper.release_if_idle()

    def _read_driver_state(self) -> object:
        """Return what psycopg2's methods and psycopg's attributes change. No round trip."""
        raw = self.raw
        if raw.closed:
            return None
        if is_psycopg3:
            transaction = raw.isolation_level, raw.read_only, raw.deferrable, raw.autocommit
            return transaction, raw.row_factory, raw.cursor_factory, raw.prepare_threshold
        transaction = raw.isolation_level, raw.readonly, raw.deferrable, raw.autocommit
        return transaction, raw.encoding, raw.cursor_factory


def _psycopg_status(raw: Any) -> Callable[[], int]:
    pgconn = raw.pgconn
    return lambda: int(pgconn.transaction_status)


# Sessions by the id() of their driver connection, which they keep alive.
_by_connection: "weakref.WeakValueDictionary[int, Session]" = weakref.WeakValueDictionary()


_last_warning = [-WARN_EVERY, 0.0]  # seconds, monotonic; and how many were left out since


def warn_closed(reason: str) -> None:
    """Log why a connection was closed and not reused, at most once in WARN_EVERY seconds."""
    now = monotonic()
    if now - _last_warning[0] < WARN_EVERY:
        _last_warning[1] += 1
        return
    left_out, _last_warning[:] = int(_last_warning[1]), [now, 0.0]
    with suppress(Exception):  # a logging filter that fails must not stop the end of the request
        logger.warning(
            "a connection was closed at the end of a request instead of being reused: %s%s",
            reason,
            f" ({left_out} more since the last warning)" if left_out else "",
        )
