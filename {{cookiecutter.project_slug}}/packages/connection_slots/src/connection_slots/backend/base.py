"""Django's PostgreSQL backend, with a connection that is held only while it is needed.

A DatabaseWrapper belongs to a thread or greenlet, as in Django. Its driver connection belongs to a
slot. The wrapper acquires the slot when it needs the connection, and releases it when no cursor
and no transaction is open and the session is unchanged. Until another owner takes the slot over,
the wrapper stays attached, and finds the same connection again at no cost.

Without slots in this process (commands, tests), this is Django's backend.
"""

import os
import random
import traceback
from _thread import get_ident
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import RLock
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeVar
from weakref import ref

from django.db.backends.postgresql import base as postgresql
from django.db.backends.postgresql.psycopg_any import is_psycopg3
from django.db.backends.signals import connection_created
from django.db.utils import DatabaseErrorWrapper, InterfaceError
from django.utils.functional import cached_property

from connection_slots import concurrency, slots
from connection_slots.backend.cursors import tracked, tracking_connection
from connection_slots.backend.pooler import is_pooled, refuse_server_side_cursor
from connection_slots.backend.session import IDLE, Session, warn_closed
from connection_slots.backend.watchdog import watchdog
from connection_slots.errors import DatabaseUnavailable, mark_connection_lost

# Seconds for one attempt to connect; libpq and psycopg take no less than 2.
CONNECT_TIMEOUT = 3

# Seconds from the first refused connect during which a request tries again: PostgreSQL restarts in
# less. A longer outage is answered at once, so that it does not tie up every worker.
RESTART_TAKES = 3.0

# Seconds without a failure after which the next one begins another outage: more than one attempt
# takes, so that the attempts of one request belong to one outage.
OUTAGE_FORGOTTEN = 15.0

# Seconds that a request may leave its connection idle before the socket is looked at again.
LOOK_AGAIN = 1.0

CLOSED_BY_RECEIVER = "a receiver of connection_created has closed the connection"

Result = TypeVar("Result")

if TYPE_CHECKING:

    class _Base(postgresql.DatabaseWrapper):
        """Django's private names that are used here: README.md says why."""

        connection: Any
        isolation_level: Any
        _thread_ident: int

        def _set_autocommit(self, autocommit: bool) -> None: ...
        def _commit(self) -> None: ...
        def _rollback(self) -> None: ...
        def _cursor(self, name: str | None = None) -> Any: ...

else:
    _Base = object

_primitives = concurrency.current()

# When connecting failed, first and last (seconds, monotonic), by alias. Empty while all is well.
_outages: dict[str, tuple[float, float]] = {}


class SlotsMixin(_Base):
    """Put before the DatabaseWrapper of a PostgreSQL backend, PostGIS's for instance."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.slot_owner = slots.current_owner()
        self.execute_wrappers = _ExecuteWrappers(self)
        self._session: Session | None = None  # the one that this wrapper is attached to
        self._held = False
        # Reasons to hold the slot besides the session's: open hold() blocks, other threads that
        # share this object, and steps of this class that a finalizer must not interrupt: it may
        # collect a cursor at any moment, and so release the slot.
        self._pins = 0
        self._requests = 0  # how many requests have ended
        self._sharing = 0
        self._sharing_lock = RLock()  # connecting comes back to ensure_connection()
        self._connecting = False

    # Acquire and release

    def ensure_connection(self) -> None:
        """Acquire a slot if this wrapper holds none, and connect if the slot is empty."""
        pool, session = slots.pool, self._session
        if session is not None and pool is not None and not self._held and not self._sharing:
            # The usual case: the request goes on with its idle slot.
            owner = self.slot_owner
            if (
                not owner.holders
                and self._thread_ident == get_ident()
                and monotonic() - session.used_at < LOOK_AGAIN
                and pool.claim(owner)
            ):
                owner.holders = 1
                self._held = True
                return
        if pool is None or (self.closed_in_transaction and self.in_atomic_block):
            super().ensure_connection()
        elif self._sharing:
            with self._sharing_lock:
                self._ensure_slot(pool)
        elif not self._held or self.connection is None:
            if self._thread_ident != get_ident():
                self.validate_thread_sharing()
            self._ensure_slot(pool)

    def _ensure_slot(self, pool: "slots.Pool") -> None:
        if self._held and self.connection is not None:
            return
        owner = self.slot_owner
        if not self._held:
            if self.connection is not None and self._session is None:
                super().close()  # it was opened before install()
            if not owner.holders:
                pool.acquire(owner)
            self._count_as_held()
        request = self._requests
        self._pins += 1
        try:
            self._attach()
        except BaseException:
            self._release(pool)
            raise
        finally:
            self._unpin(request)

    def _attach(self) -> None:
        """Find the session of the acquired slot, and open or replace it where that is needed."""
        slot = self.slot_owner.slot
        assert slot is not None  # noqa: S101
        if self._session is not None:  # attached: no other owner has had the slot since
            # The same request goes on. A connection that lay idle for long is looked at again.
            if self._is_usable(self._session):
                return
            self._drop_session()
        for key, other in list(slot.resources.items()):
            if key != other.alias and other.wrapper is None:
                slot.resources.pop(key).close()  # of a copy() whose owner has lost the slot
        session = slot.resources.get(self.alias)
        if session is not None:
            left = session.wrapper  # the last one did not end its request with this slot
            if left is not None:
                if left is not self and left.holds_slot:  # a copy() of it, in the same thread
                    self._connect_in_slot(f"{self.alias} {id(self)}")
                    return
                session.detach()
            if (
                (left is None or session.is_unchanged())
                and session.target == self._target()
                and not self._is_expired(session)
                and self._is_usable(session)
            ):
                self._adopt(session)
                return
            del slot.resources[self.alias]
            session.close()
        self._connect_in_slot(self.alias)

    def _is_usable(self, session: Session) -> bool:
        """Return False if the connection is closed, or CONN_HEALTH_CHECKS finds it dead."""
        if not self.settings_dict["CONN_HEALTH_CHECKS"]:
            return not session.raw.closed
        return session.is_alive()

    def _adopt(self, session: Session) -> None:
        """Attach to an open session of the slot."""
        self.slot_owner.used.add(self)
        self._session, session.wrapper = session, self
        self.connection = session.raw
        self.close_at = session.close_at
        self.isolation_level = session.isolation_level
        self.autocommit = self.settings_dict["AUTOCOMMIT"]
        self.closed_in_transaction = self.needs_rollback = self.errors_occurred = False
        self.savepoint_ids, self.atomic_blocks = [], []
        session.watched = session.timeout is not None
        if slots.discards:
            self._discard_all(session)
        elif session.standing_wrappers:
            self.execute_wrappers[:0] = session.standing_wrappers

    def _connect_in_slot(self, key: str) -> None:
        """Connect, and put the session into the slot once it is complete."""
        self.slot_owner.used.add(self)
        self.connection = None
        self._connecting = True
        try:
            super().ensure_connection()
        finally:
            self._connecting = False
        slot = self.slot_owner.slot
        assert slot is not None  # noqa: S101
        assert self._session is not None  # noqa: S101
        slot.resources[key] = self._session

    def _target(self) -> tuple[Any, ...]:
        """Return what a session depends on: test runners and copy() change the settings."""
        settings = self.settings_dict
        server = settings["NAME"], settings["USER"], settings["HOST"], settings["PORT"]
        return *server, settings["OPTIONS"]

    @property
    def holds_slot(self) -> bool:
        """Return True while the slot is held for this wrapper."""
        return self._held

    def release_if_idle(self) -> None:
        """Release the slot unless a cursor, a transaction or the session's state needs it."""
        if not self._held or self.in_atomic_block or self._pins:
            return
        session, pool = self._session, slots.pool
        if pool is None:
            return
        if session is not None:
            if (
                session.open_cursors
                or session.stays
                or self.autocommit != self.settings_dict["AUTOCOMMIT"]
            ):
                return
            if session.status() == IDLE:
                session.used_at = monotonic()
            elif session.raw.closed:
                self._drop_session()
            else:
                return
        self._release(pool)

    def _release(self, pool: "slots.Pool") -> None:
        if not self._held:
            return  # a receiver of connection_created has closed it, or ended the request
        owner = self.slot_owner
        self._held = False
        owner.holders -= 1
        if not owner.holders:
            pool.release(owner)

    def detached(self, session: Session) -> None:
        """Forget a session that another owner has taken over with its slot."""
        if self._session is session:
            self._forget_session()

    def _forget_session(self) -> None:
        session, self._session = self._session, None
        self.connection = None
        if session is not None:
            session.wrapper = None
            for wrapper in session.standing_wrappers:
                if wrapper in self.execute_wrappers:
                    self.execute_wrappers.remove(wrapper)

    def _drop_session(self) -> None:
        """Take the session out of its slot and close it, whatever its state."""
        session, slot = self._session, self.slot_owner.slot
        self._forget_session()
        if session is not None:
            if slot is not None:
                for key, resource in list(slot.resources.items()):
                    if resource is session:
                        del slot.resources[key]
            session.close()

    def belongs_to(self, ident: int) -> bool:
        """Return True if the thread or greenlet `ident` created this wrapper."""
        return self._thread_ident == ident

    @contextmanager
    def hold(self) -> Iterator[Any]:
        """Hold the slot for the block, and yield the driver connection."""
        with self._pinned():
            self.ensure_connection()
            yield self.connection

    @contextmanager
    def _pinned(self) -> Iterator[None]:
        """Keep the slot for the block, and release it after that if nothing else needs it."""
        request = self._requests
        self._pins += 1
        try:
            yield
        finally:
            self._unpin(request)
            self._release_after_use()

    def _unpin(self, request: int) -> None:
        """Take back a pin of the given request, unless the end of that request has done so."""
        if request == self._requests:
            self._pins -= 1

    def _release_after_use(self) -> None:
        """Release the slot if nothing else needs it. Its owner does so itself during its request.

        The garbage collector may end a generator on another thread, while the owner uses the slot.
        """
        if self.belongs_to(get_ident()) or not self.slot_owner.serving:
            self.release_if_idle()

    # The end of a request

    def pin(self) -> None:
        """Keep the slot until end_request(): a finalizer may want to release it."""
        self._pins += 1

    def end_request(self, has_slot: bool) -> bool:
        """Leave the slot's session clean for its next owner. Return False while it is shared.

        Without the slot, the session belongs to another owner already, and is not touched.
        """
        if self._sharing:
            self._pins -= 1
            return False
        session = self._session
        if has_slot and session is not None:
            reason = self._reason_to_close(session)
            if reason or session.raw.closed or self._is_expired(session) or self._is_copy(session):
                self._drop_session()
                if reason:
                    warn_closed(reason)
            session.stays = False
            self._forget_session()
        self._session = self.connection = None
        self._held = False
        self._reset_request_state()
        return True

    def _reason_to_close(self, session: Session) -> str | None:
        """Return what the request did that keeps the connection from being reused, or None."""
        if session.raw.closed:
            return None
        if self.in_atomic_block or self.autocommit != self.settings_dict["AUTOCOMMIT"]:
            return "a transaction was left open"
        return None if session.is_unchanged() else session.reason_to_close()

    def _is_copy(self, session: Session) -> bool:
        slot = self.slot_owner.slot
        return slot is not None and slot.resources.get(self.alias) is not session

    @staticmethod
    def _is_expired(session: Session) -> bool:
        return session.close_at is not None and monotonic() >= session.close_at

    def _reset_request_state(self) -> None:
        """Reset what a request may leave on this object, which serves the thread's next one."""
        self.in_atomic_block = self.closed_in_transaction = self.needs_rollback = False
        self.savepoint_ids, self.atomic_blocks, self.run_on_commit = [], [], []
        self.run_commit_hooks_on_set_autocommit_on = False
        self.errors_occurred = False
        self.force_debug_cursor = False
        self._pins = self._sharing
        self._requests += 1
        if self.execute_wrappers:
            self.execute_wrappers.clear()
        if self.queries_log:
            self.queries_log.clear()

    def forget_parent(self) -> None:
        """Forget the connection in a forked child: its socket is the parent's."""
        self._forget_session()
        self._held = self._connecting = False
        self._sharing_lock = RLock()  # a thread of the parent may have had the other one
        self._reset_request_state()

    # Connect

    def get_connection_params(self) -> dict[str, Any]:
        """Return Django's parameters, with a timeout and the pid of this process."""
        params: dict[str, Any] = super().get_connection_params()
        params["application_name"] = f"{params.get('application_name', 'django')}-{os.getpid()}"
        params.setdefault("connect_timeout", CONNECT_TIMEOUT)
        if not is_psycopg3:
            params.setdefault("connection_factory", tracking_connection())
        return params

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Connect. While the first failure is recent, try again.

        Raises DatabaseUnavailable when the server cannot be reached, refuses or does not answer:
        within RESTART_TAKES + connect_timeout seconds, also while others can connect.
        """
        began = monotonic()
        while True:
            try:
                raw = self._connect_once(conn_params)
                if is_pooled(self.settings_dict):
                    _ask(raw)
            except (self.Database.OperationalError, DatabaseUnavailable) as error:
                if max(_outage_lasts(self.alias), monotonic() - began) > RESTART_TAKES:
                    raise DatabaseUnavailable(*error.args) from error
                # At random, so that the requests do not all return at once.
                sleep(random.uniform(0.05, 0.2))  # noqa: S311
            except BaseException as error:
                # A Timeout or a kill that hits a connect leaves a half-open connection in the
                # frames of its traceback, where no slot counts it: clear them.
                traceback.clear_frames(error.__traceback__)
                raise
            else:
                _outages.pop(self.alias, None)
                return raw

    def _connect_once(self, conn_params: dict[str, Any]) -> Any:
        if is_psycopg3:
            return super().get_new_connection(conn_params)
        late = DatabaseUnavailable("connecting took longer than connect_timeout")
        try:
            with _primitives.connect_timeout(conn_params["connect_timeout"], late):
                return super().get_new_connection(conn_params)
        except DatabaseUnavailable as error:
            traceback.clear_frames(error.__traceback__)
            raise

    def connect(self) -> None:
        """Connect as Django does. If a receiver of connection_created fails, close again."""
        if slots.pool is None:
            super().connect()
            return
        if not self._connecting:  # other code calls it: only ensure_connection() counts slots
            self.close()
            self.ensure_connection()
            self.release_if_idle()
            return
        self.validate_thread_sharing()
        before = list(self.execute_wrappers)
        try:
            super().connect()
            self._complete_session(before)
        except BaseException:
            self._abandon_connect()
            raise

    def _complete_session(self, before: list[Any]) -> None:
        """Record the state in which each owner finds the session."""
        session = self._session
        if session is None or not self._held:
            raise InterfaceError(CLOSED_BY_RECEIVER)
        session.timeout = _statement_timeout(self.connection)
        if not self.autocommit:
            self.connection.rollback()  # end what the question began
        *server, options = self._target()
        session.target = *server, dict(options)
        session.isolation_level = self.isolation_level
        session.settle(self.close_at, self._standing_wrappers(before))
        if session.timeout is not None:
            watchdog.watch(session)

    def _standing_wrappers(self, before: list[Any]) -> list[Any]:
        """Return the execute wrappers that receivers of connection_created have added.

        They become the first in the list: execute_wrapper() removes the last when its block ends.
        """
        added = [w for w in self.execute_wrappers if not any(w is other for other in before)]
        self.execute_wrappers[:] = [*added, *before]
        return added

    def _abandon_connect(self) -> None:
        session, raw = self._session, self.connection
        self._forget_session()
        self.in_atomic_block = False
        if session is not None:
            session.close()
        elif raw is not None:
            raw.close()

    def init_connection_state(self) -> None:
        """Initialise as Django does, on cursors that are seen."""
        if slots.pool is not None and self._session is None:
            raw = self.connection
            raw.cursor_factory = tracked(raw.cursor_factory)
            if is_psycopg3:
                raw.server_cursor_factory = tracked(raw.server_cursor_factory)
            self._session = Session(raw, self, _primitives.new_poll)
        super().init_connection_state()
        if self._session is not None:
            self._session.pooled = is_pooled(self.settings_dict)

    def _discard_all(self, session: Session) -> None:
        """Reset the session for its new owner (DATABASE_DISCARD_ALL), and initialise it again."""
        before = list(self.execute_wrappers)
        try:
            self._set_autocommit(True)  # DISCARD ALL is refused inside a transaction
            with self.wrap_database_errors, self.connection.cursor() as cursor:
                cursor.execute("DISCARD ALL")
            self._set_autocommit(self.autocommit)
            self.init_connection_state()
            connection_created.send(sender=self.__class__, connection=self)
            if self._session is not session:
                raise InterfaceError(CLOSED_BY_RECEIVER)
        except BaseException:
            self._drop_session()
            raise
        session.settle(session.close_at, self._standing_wrappers(before))

    # What Django calls

    def close(self) -> None:
        """Close the connection as Django does. Its slot is released."""
        pool = slots.pool
        if pool is None or self._session is None:
            super().close()
            return
        self.validate_thread_sharing()
        with self._pinned():
            if self._hold_idle_slot(pool):
                self._close_in_slot(pool)
            else:
                super().close()  # another owner has the slot: there is nothing to close

    def _close_in_slot(self, pool: "slots.Pool") -> None:
        raw = self.connection
        try:
            super().close()
        finally:
            self._drop_session()
            if self.closed_in_transaction:
                self.connection = raw  # Django tells by it that the block goes on
            self._release(pool)

    def _hold_idle_slot(self, pool: "slots.Pool") -> bool:
        """Hold the slot if this owner still has it. Return True if so."""
        owner = self.slot_owner
        if self._held:
            return True
        if not owner.holders and not (pool.claim(owner) or pool.reclaim(owner)):
            return False
        self._count_as_held()
        return True

    def _count_as_held(self) -> None:
        if not self._held:  # a signal handler may have queried meanwhile
            self._held = True
            self.slot_owner.holders += 1

    def close_if_unusable_or_obsolete(self) -> None:
        """Apply Django's rules while the slot is held. The pool looks at age and health."""
        if slots.pool is None or self._held:
            super().close_if_unusable_or_obsolete()

    def close_if_health_check_failed(self) -> None:
        """Do nothing with slots: the socket was looked at when the slot was acquired."""
        if slots.pool is None:
            super().close_if_health_check_failed()

    def get_autocommit(self) -> bool:
        """Return the autocommit state, without acquiring a slot for the question."""
        is_idle = slots.pool is not None and not self._held and not self.in_atomic_block
        if is_idle and self.settings_dict["AUTOCOMMIT"]:
            return True
        return bool(super().get_autocommit())

    def set_autocommit(self, *args: Any, **kwargs: Any) -> None:
        """Set autocommit, and release the slot if that ended a transaction."""
        with self._pinned():
            super().set_autocommit(*args, **kwargs)

    def run_and_clear_commit_hooks(self) -> None:
        """Run the hooks without the slot: set_autocommit() has pinned it."""
        request = self._requests
        self._pins -= 1
        try:
            self.release_if_idle()
            super().run_and_clear_commit_hooks()
        finally:
            if request == self._requests:
                self._pins += 1

    def commit(self) -> None:
        """Commit, and release the slot."""
        self._in_slot(super().commit)

    def rollback(self) -> None:
        """Roll back, and release the slot."""
        self._in_slot(super().rollback)

    def is_usable(self) -> bool:
        """Return True if the connection answers."""
        return self._in_slot(super().is_usable)

    def _in_slot(self, call: Callable[[], Result]) -> Result:
        """Call one of Django's methods that use the connection without asking for it.

        An idle slot is held meanwhile. If another owner has it, this wrapper has no connection
        any more, and Django's method does nothing.
        """
        pool = slots.pool
        if pool is None:
            return call()
        self.validate_thread_sharing()
        with self._pinned():
            if self._session is not None:
                self._hold_idle_slot(pool)
            return call()

    def _commit(self) -> None:
        with self._round_trip("COMMIT"):
            super()._commit()

    def _rollback(self) -> None:
        with self._round_trip("ROLLBACK"):
            super()._rollback()

    @contextmanager
    def _round_trip(self, statement: str) -> Iterator[None]:
        """Let the watchdog see a round trip that no cursor makes."""
        session = self._session
        if session is None:
            yield
            return
        session.statement, session.waiting_since = statement, monotonic()
        try:
            yield
        except BaseException as error:
            if session.raw.closed and error.__cause__ is not None:
                mark_connection_lost(error.__cause__)
            raise
        finally:
            session.waiting_since = 0.0

    def _cursor(self, name: str | None = None) -> Any:
        request = self._requests
        self._pins += 1
        try:
            cursor = super()._cursor(name)
        except BaseException:
            self._unpin(request)
            self.release_if_idle()
            raise
        self._unpin(request)
        return cursor

    @cached_property
    def wrap_database_errors(self) -> "_ErrorWrapper":
        """Return Django's context manager for the driver's errors, which also notes them."""
        return _ErrorWrapper(self)

    def create_cursor(self, name: str | None = None) -> Any:
        """Create Django's cursor, tracked by the session."""
        session = self._session
        if name is not None and session is not None and session.pooled:
            refuse_server_side_cursor(in_transaction=not self.connection.autocommit)
        cursor = super().create_cursor(name)
        if session is not None:
            if name is not None:  # Django chooses psycopg's server-side class by itself
                server_side: Any = type(cursor)
                cursor.__class__ = tracked(server_side)
            cursor.session = session
            session.open_cursors.add(id(cursor))
        return cursor

    @contextmanager
    def temporary_connection(self) -> Iterator[Any]:
        """Yield a cursor. With slots, the connection stays open in its slot."""
        if slots.pool is None:
            with super().temporary_connection() as cursor:
                yield cursor
        else:
            with self.cursor() as cursor:
                yield cursor

    def inc_thread_sharing(self) -> None:
        """Share this object with other threads. Its slot stays with it until that ends."""
        super().inc_thread_sharing()
        with self._sharing_lock:
            self._sharing += 1
            self._pins += 1
            if slots.pool is not None and self._session is not None:
                self._hold_idle_slot(slots.pool)

    def dec_thread_sharing(self) -> None:
        """Share this object with one thread less. After the last one the slot can be released."""
        super().dec_thread_sharing()
        with self._sharing_lock:
            self._sharing -= 1
            self._pins -= 1
        self._release_after_use()


class _ExecuteWrappers(list[Any]):
    """Execute wrappers. To add one is a use of the connection: the end of the request undoes it."""

    __slots__ = ("_connection",)

    def __init__(self, connection: SlotsMixin) -> None:
        super().__init__()
        self._connection = ref(connection)  # no cycle: Django frees connections by their count

    def _note_use(self) -> None:
        connection = self._connection()
        if connection is not None and slots.pool is not None:
            connection.slot_owner.used.add(connection)

    def append(self, wrapper: Any) -> None:
        """Add a wrapper, as execute_wrapper() does."""
        self._note_use()
        super().append(wrapper)

    def insert(self, index: SupportsIndex, wrapper: Any) -> None:
        """Add a wrapper that is called before others."""
        self._note_use()
        super().insert(index, wrapper)

    def extend(self, wrappers: Iterable[Any]) -> None:
        """Add several wrappers."""
        self._note_use()
        super().extend(wrappers)


class _ErrorWrapper(DatabaseErrorWrapper):
    """Notes what interrupts the fetch of a server-side cursor: that alone is no statement."""

    wrapper: Any

    def __exit__(self, exc_type: Any, error: Any, traceback: Any) -> None:
        if error is None:
            return
        session = self.wrapper._session
        if session is not None:
            session.failed(error)
        super().__exit__(exc_type, error, traceback)


def _ask(raw: Any) -> None:
    """Run a statement on a new connection. Raise DatabaseUnavailable if that ends the connection.

    PgBouncer accepts clients also while PostgreSQL restarts, and refuses their first statement.
    """
    try:
        with raw.cursor() as cursor:
            cursor.execute("SELECT 1")
        raw.rollback()  # end what the statement began
    except BaseException as error:
        lost = bool(raw.closed)
        raw.close()
        if lost and isinstance(error, Exception):
            raise DatabaseUnavailable(*error.args) from error
        raise


def _statement_timeout(raw: Any) -> float | None:
    """Return the effective statement_timeout of a session in seconds, or None if it has none.

    The role, the database or `options` in the URL may have changed what the settings say.
    """
    with raw.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM current_setting('statement_timeout')::interval)")
        (seconds,) = cursor.fetchone()
    return float(seconds) or None


def _outage_lasts(alias: str) -> float:
    """Return the seconds since connecting first failed. After a pause it is another outage."""
    now = monotonic()
    began, last = _outages.get(alias, (now, now))
    if now - last > OUTAGE_FORGOTTEN:
        began = now
    _outages[alias] = began, now
    return now - began


class DatabaseWrapper(SlotsMixin, postgresql.DatabaseWrapper):
    """Django's PostgreSQL backend with slots."""
