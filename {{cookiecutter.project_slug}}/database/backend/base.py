"""Django's PostgreSQL backend with a health check that costs nothing and a patient connect."""

import os
import random
{% if cookiecutter.__green %}
from select import POLLIN
{% else %}
from select import POLLIN, poll
{% endif %}
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from django.db.backends.postgresql import base as postgresql

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

IDLE = 0  # PQTRANS_IDLE, the same in psycopg and psycopg2

if TYPE_CHECKING:
    _Base = postgresql.DatabaseWrapper
else:
    _Base = object

# When connecting first failed, by alias; empty while all is well. One for the process.
_outages: dict[str, float] = {}


class ConnectionCareMixin(_Base):
    """Put before a PostgreSQL backend's DatabaseWrapper, PostGIS's for instance.

    - Health: a server that closed a connection left something to read on its socket.
      Nothing to read means healthy, without the round trip of Django's own check.
    - Connecting: each attempt has a deadline, and a restart of the server is waited out.
    - Clean: a connection left in a transaction is closed, not used by the next request.
    """

    connection: Any
    in_atomic_block: bool
    closed_in_transaction: bool
    health_check_enabled: bool
    health_check_done: bool

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
                began = _outages.setdefault(self.alias, monotonic())
                if monotonic() - began > RESTART_TAKES:
                    raise DatabaseUnavailable(*error.args) from error
                # Apart, so that they do not return as a herd.
                sleep(random.uniform(0.05, 0.2))  # noqa: S311
            else:
                _outages.pop(self.alias, None)
                break
        self._poller = poll()
        self._poller.register(connection.fileno(), POLLIN)
        self._heard_at = monotonic()
        return connection

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
            not self.in_atomic_block
            and not self.errors_occurred
            and not self.execute_wrappers
            and not connection.closed
            and connection.info.transaction_status == IDLE
            and self.autocommit == self.settings_dict["AUTOCOMMIT"]
        )

    def close_if_unusable_or_obsolete(self) -> None:
        """Django's rules between requests: errors, autocommit and age. And no open transaction."""
        super().close_if_unusable_or_obsolete()
        if not self.is_clean():
            self.discard()

    def discard(self) -> None:
        """Close without a word to the server, whatever state this connection is in."""
        connection, self.connection = self.connection, None
        self.in_atomic_block = self.closed_in_transaction = False
        self.execute_wrappers.clear()
        if connection is not None:
            connection.close()


class DatabaseWrapper(ConnectionCareMixin, postgresql.DatabaseWrapper):
    """Django's PostgreSQL backend, taken care of."""
