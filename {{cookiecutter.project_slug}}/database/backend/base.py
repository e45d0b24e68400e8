"""Django's PostgreSQL backend with a health check that costs nothing and a patient connect."""

import os
import random
{% if not cookiecutter.__lends %}
import weakref
{% endif %}
{% if cookiecutter.__green %}
from select import POLLIN
{% else %}
from select import POLLIN, poll
{% endif %}
{% if not cookiecutter.__lends %}
from threading import local
{% endif %}
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db.backends.postgresql import base as postgresql

from database.backend.session import changes_session
from database.backend.silence import watch
from database.exceptions import DatabaseUnavailable
{% if cookiecutter.__psycogreen %}
from database.green import Timeout, poll
{% elif cookiecutter.__green %}
from database.green import poll
{% endif %}

# Seconds without a request after which silence on the socket is no proof of life any more:
# less than any load balancer or NAT gateway takes to drop an idle connection.
TRUSTED_SILENCE = 30.0

# Seconds for one attempt to connect; libpq and psycopg take no less than 2.
CONNECT_TIMEOUT = 3

# Seconds from the first refused connect during which others are worth a wait: PostgreSQL
# restarts in less. A longer outage is answered at once, so that it ties up no worker.
RESTART_TAKES = 3.0

# Seconds without a failure after which the next one begins another outage: more than one attempt
# takes, so that those of one request never look like it.
OUTAGE_FORGOTTEN = 15.0

# Seconds that the server's word about a statement it ended may be on its way.
ANSWER_TAKES = 3.0

IDLE = 0  # PQTRANS_IDLE, the same in psycopg and psycopg2

if TYPE_CHECKING:
    _Base = postgresql.DatabaseWrapper
else:
    _Base = object

# When connecting failed, first and last, by alias; empty while all is well. One for the process.
_outages: dict[str, tuple[float, float]] = {}


class ConnectionCareMixin(_Base):
    """Put before a PostgreSQL backend's DatabaseWrapper, PostGIS's for instance.

    - Health: a server that closed a connection left something to read on its socket.
      Nothing to read means healthy, without the round trip of Django's own check.
    - Connecting: each attempt has a deadline, and a restart of the server is waited out.
    - Silence: a statement that is never answered fails, though the network says nothing.
    - Clean: a connection in a transaction, or whose session was changed, is closed and not used
      by the next request.
    """

    connection: Any
    in_atomic_block: bool
    closed_in_transaction: bool
    health_check_enabled: bool
    health_check_done: bool
{% if cookiecutter.__lends %}
    close_at: float | None
{% endif %}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._session_changed = False
        self._named_cursors: list[Any] = []
        self._standing_wrappers: list[Any] = [self._note_statement]
        self.execute_wrappers += self._standing_wrappers
{% if not cookiecutter.__lends %}
        _thread.__dict__.setdefault("ends", []).append(_EndsWithThread(self))
{% endif %}

    def get_connection_params(self) -> dict[str, Any]:
        """Django's, with a connect_timeout, and in application_name the pid of who connects."""
        params = super().get_connection_params()
        params["application_name"] = f"{params.get('application_name', 'django')}-{os.getpid()}"
        params.setdefault("connect_timeout", CONNECT_TIMEOUT)
        return params

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Connect; while a failure is young, try again.

        Raises DatabaseUnavailable when the server cannot be reached, refuses or does not
        answer: within RESTART_TAKES + connect_timeout seconds.
        """
        while True:
            try:
{% if cookiecutter.__psycogreen %}
                # psycogreen ignores connect_timeout: github.com/psycopg/psycogreen/issues/2
                late = DatabaseUnavailable("connecting took too long")
                with Timeout(conn_params["connect_timeout"], late):
                    connection = super().get_new_connection(conn_params)
{% else %}
                connection = super().get_new_connection(conn_params)
{% endif %}
            except (self.Database.OperationalError, DatabaseUnavailable) as error:
                if _outage_lasts(self.alias) > RESTART_TAKES:
                    raise DatabaseUnavailable(*error.args) from error
                # Apart, so that they do not return as a herd.
                sleep(random.uniform(0.05, 0.2))  # noqa: S311
            else:
                _outages.pop(self.alias, None)
                break
        self._poller = poll()
        self._poller.register(connection.fileno(), POLLIN)
        self._heard_at = monotonic()
        self._named_cursors.clear()
        if longest := settings.DATABASE_STATEMENT_TIMEOUT:
            watch.add(connection, longest + ANSWER_TAKES)
        return connection

    def connect(self) -> None:
        """Django's. What receivers of connection_created do stays with the connection.

        Raises DatabaseError for whoever has given this object back: it belongs to no slot.
        """
        self.validate_thread_sharing()
        before = list(self.execute_wrappers)
        super().connect()
        added = [wrapper for wrapper in self.execute_wrappers if wrapper not in before]
        self._standing_wrappers += added
        self._session_changed = False

    def is_silent(self) -> bool:
        """Whether the server has said nothing since, and not long enough ago for it to be proof."""
        before, self._heard_at = self._heard_at, monotonic()
        return (
            not self.connection.closed
            and self._heard_at - before < TRUSTED_SILENCE
            and not self._poller.poll(0)
        )

    def close_if_health_check_failed(self) -> None:
        """Django's check, once per request, but only where silence is no proof."""
        if self.connection is None or self.health_check_done or not self.health_check_enabled:
            return
        if self.is_silent():
            self.health_check_done = True
        else:
            super().close_if_health_check_failed()

    def is_clean(self) -> bool:
        """Whether the next request finds this connection as if it were new. No round trip."""
        connection = self.connection
        return connection is None or (
            not self.errors_occurred
            and not self._session_changed
            and len(self.execute_wrappers) == len(self._standing_wrappers)
            and all(cursor.closed for cursor in self._named_cursors)
            and not connection.closed
            and not self.is_in_transaction()
        )

    def is_in_transaction(self) -> bool:
        """Whether a transaction is open, or the next statement opens one. No round trip."""
        connection = self.connection
        return self.in_atomic_block or (
            connection is not None
            and not connection.closed
            and (
                {{ cookiecutter.__transaction_status }} != IDLE
                or self.autocommit != self.settings_dict["AUTOCOMMIT"]
            )
        )

    def close_if_unusable_or_obsolete(self) -> None:
        """Django's rules between requests: errors, autocommit and age. And no open transaction."""
        super().close_if_unusable_or_obsolete()
        if self.is_clean():
            self._named_cursors.clear()
        else:
            self.discard()

{% if cookiecutter.__lends %}
    def close_if_aged(self) -> None:
        """When lent again: the rest was looked at when it was given back, and it has lain idle."""
        self.health_check_done = False
        if self.close_at is not None and monotonic() >= self.close_at:
            self.close()

{% endif %}
    def discard(self) -> None:
        """Close without a word to the server, whatever state this connection is in."""
        connection, self.connection = self.connection, None
        self.in_atomic_block = self.closed_in_transaction = False
        self.execute_wrappers[:] = self._standing_wrappers
        if connection is not None:
            connection.close()

    def create_cursor(self, name: str | None = None) -> Any:
        """Django's; a named cursor is one on the server, where it stays until it is closed."""
        cursor = super().create_cursor(name)
        if name is not None:
            still_open = [other for other in self._named_cursors if not other.closed]
            self._named_cursors = [*still_open, cursor]
        return cursor

    def _note_statement(
        self, execute: Any, sql: Any, params: Any, many: bool, context: dict[str, Any]
    ) -> Any:
        if changes_session(sql):
            self._session_changed = True
        return execute(sql, params, many, context)


{% if not cookiecutter.__lends %}
class _EndsWithThread:
    """Closes a connection with the thread that opened it: left to itself it would stay open
    until the garbage collector comes by."""

    __slots__ = ("pid", "wrapper")

    def __init__(self, wrapper: ConnectionCareMixin) -> None:
        self.wrapper = weakref.ref(wrapper)
        self.pid = os.getpid()

    def __del__(self) -> None:
        wrapper = self.wrapper()
        # A forked child has copies of threads that end at once: the sockets are the parent's.
        if wrapper is not None and self.pid == os.getpid():
            wrapper.discard()


_thread = local()


{% endif %}
def _outage_lasts(alias: str) -> float:
    """Seconds since connecting first failed; after a pause it is another outage."""
    now = monotonic()
    began, last = _outages.get(alias, (now, now))
    if now - last > OUTAGE_FORGOTTEN:
        began = now
    _outages[alias] = began, now
    return now - began


class DatabaseWrapper(ConnectionCareMixin, postgresql.DatabaseWrapper):
    """Django's PostgreSQL backend, taken care of."""
