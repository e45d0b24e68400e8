"""Cursors of both drivers that tell their session about statements, and when they close.

Statements are seen here and not in an execute wrapper, because this is the last place that they
pass: wrappers that run later, the debug cursor and callproc() all end here.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from django.db.backends.postgresql.psycopg_any import is_psycopg3

from connection_slots.backend.pooler import refuse_session_state
from connection_slots.backend.session import Session
from connection_slots.backend.session_state import Effect


class TrackedCursor:
    """What both drivers have in common. The driver's own cursor class comes behind it."""

    session: Session | None = None
    connection: Any
    closed: bool

    def close(self) -> None:
        """Close the cursor, and release the slot if nothing else holds it."""
        try:
            super().close()  # type: ignore[misc]
        finally:
            session = self.session
            if session is not None:
                self.session = None
                session.cursor_closed(self)

    def __del__(self) -> None:
        session = self.session
        if session is not None:
            self.session = None
            session.cursor_abandoned(self, bool(getattr(self, "name", None)) and not self.closed)

    def _find_session(self) -> Session | None:
        """Return the session of a cursor that code has taken from the driver connection itself."""
        session = Session.of(self.connection)
        if session is None or self.closed:
            return None
        session.cursor_opened(self)
        return session

    @contextmanager
    def _noted(self, query: Any, parameters: Any = None, *, slow: bool = False) -> Iterator[None]:
        """Note a statement. The watchdog ignores a `slow` one, which may be read slowly."""
        session = self.session or self._find_session()
        if session is None:
            yield
            return
        session.begin(query, parameters)
        if slow:
            session.waiting_since = 0.0
        try:
            yield
        except BaseException as error:
            session.failed(error)
            raise
        finally:
            session.waiting_since = 0.0


class Psycopg2Cursor(TrackedCursor):
    """Put before a cursor class of psycopg2."""

    def execute(self, query: Any, vars: Any = None) -> None:
        """Execute `query` as the driver does."""
        session = self.session or self._find_session()
        if session is None:
            super().execute(query, vars)  # type: ignore[misc]
            return
        session.begin(query, vars)
        try:
            super().execute(query, vars)  # type: ignore[misc]
        except BaseException as error:
            session.failed(error)
            raise
        finally:
            session.waiting_since = 0.0

    def executemany(self, query: Any, vars_list: Any) -> None:
        """Execute `query` for each of the parameters, as the driver does."""
        with self._noted(query):
            super().executemany(query, vars_list)  # type: ignore[misc]

    def callproc(self, procname: Any, parameters: Any = None) -> Any:
        """Call a function as the driver does."""
        names = ", ".join(["%s"] * len(parameters or ()))
        with self._noted(f"SELECT {procname}({names})", parameters):
            return super().callproc(procname, parameters)  # type: ignore[misc]

    def copy_expert(self, sql: Any, *args: Any, **kwargs: Any) -> None:
        """Run a COPY as the driver does."""
        with self._noted(sql, slow=True):
            super().copy_expert(sql, *args, **kwargs)  # type: ignore[misc]

    def copy_from(self, *args: Any, **kwargs: Any) -> None:
        """Run a COPY FROM as the driver does."""
        with self._noted("COPY FROM", slow=True):
            super().copy_from(*args, **kwargs)  # type: ignore[misc]


class PsycopgCursor(TrackedCursor):
    """Put before a cursor class of psycopg 3. Its callproc() is Django's, which executes."""

    def execute(self, query: Any, params: Any = None, **kwargs: Any) -> Any:
        """Execute `query` as the driver does."""
        session = self.session or self._find_session()
        if session is None:
            return super().execute(query, params, **kwargs)  # type: ignore[misc]
        session.begin(query, params)
        try:
            return super().execute(query, params, **kwargs)  # type: ignore[misc]
        except BaseException as error:
            session.failed(error)
            raise
        finally:
            session.waiting_since = 0.0

    def executemany(self, query: Any, *args: Any, **kwargs: Any) -> None:
        """Execute `query` for each of the parameters, as the driver does."""
        with self._noted(query):
            super().executemany(query, *args, **kwargs)  # type: ignore[misc]

    def stream(self, query: Any, params: Any = None, **kwargs: Any) -> Iterator[Any]:
        """Stream the rows of `query` as the driver does."""
        with self._noted(query, params, slow=True):
            yield from super().stream(query, params, **kwargs)  # type: ignore[misc]

    @contextmanager
    def copy(self, statement: Any, params: Any = None, **kwargs: Any) -> Iterator[Any]:
        """Run a COPY as the driver does."""
        with (
            self._noted(statement, params, slow=True),
            super().copy(statement, params, **kwargs) as copy,  # type: ignore[misc]
        ):
            yield copy


@lru_cache(maxsize=64)
def tracked(cursor_class: type | None) -> type:
    """Return a subclass of a driver's `cursor_class` (psycopg2's default if None)."""
    if cursor_class is None:
        from psycopg2.extensions import cursor

        return tracked(cursor)
    if issubclass(cursor_class, TrackedCursor):
        return cursor_class
    before = PsycopgCursor if is_psycopg3 else Psycopg2Cursor
    return type(f"Tracked{cursor_class.__name__}", (before, cursor_class), {})


@lru_cache(maxsize=1)
def tracking_connection() -> type:
    """Return psycopg2's connection class, with a cursor() that tracks every cursor_factory.

    Behind a transaction pooler it refuses what psycopg2 would set for the session.
    """
    from psycopg2.extensions import connection

    class TrackingConnection(connection):  # type: ignore[misc]  # psycopg2 has no types
        def cursor(self, *args: Any, **options: Any) -> Any:
            if len(args) > 1:  # (name, cursor_factory, ...)
                args = args[0], tracked(args[1]), *args[2:]
            elif options.get("cursor_factory") is not None:
                options["cursor_factory"] = tracked(options["cursor_factory"])
            return super().cursor(*args, **options)

        def __setattr__(self, name: str, value: Any) -> None:
            if name in ("isolation_level", "readonly", "deferrable"):
                self._refuse_if_pooled()
            super().__setattr__(name, value)

        def set_session(self, *args: Any, **options: Any) -> None:
            self._refuse_if_pooled()
            super().set_session(*args, **options)

        def set_isolation_level(self, level: Any) -> None:
            self._refuse_if_pooled()
            super().set_isolation_level(level)

        def _refuse_if_pooled(self) -> None:
            session = Session.of(self)
            if session is not None and session.pooled:
                refuse_session_state(Effect.CHANGES, in_transaction=False)

    return TrackingConnection
