"""What differs behind PgBouncer in transaction mode, where a session outlives no transaction.

The server's sessions are shared with other clients. A change of the session would reach one of
them, so it is refused: https://www.pgbouncer.org/features.html lists what cannot work.
"""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db.utils import NotSupportedError

from connection_slots.backend.session_state import Effect

TRANSACTION = "transaction"  # the value of DATABASE_POOLER


def is_pooled(database: Mapping[str, Any]) -> bool:
    """Return True if an entry of DATABASES is behind a transaction pooler.

    DATABASE_POOLER says that there is one. A database without DISABLE_SERVER_SIDE_CURSORS, which
    such a pooler needs, is reached directly.
    """
    pooler = getattr(settings, "DATABASE_POOLER", "")
    return pooler == TRANSACTION and bool(database.get("DISABLE_SERVER_SIDE_CURSORS"))


def refuse_session_state(effect: Effect, in_transaction: bool) -> None:
    """Raise NotSupportedError for a statement that counts on a session of its own."""
    if effect & Effect.CHANGES:
        raise NotSupportedError(
            "this statement changes its session, which a transaction pooler gives to another "
            "client next (DATABASE_POOLER): use the form that ends with the transaction, such as "
            "SET LOCAL, SET TRANSACTION, set_config(..., true), pg_advisory_xact_lock() or ON "
            "COMMIT DROP, or a database that is reached directly"
        )
    if effect & Effect.READS_SEQUENCE and not in_transaction:
        raise NotSupportedError(
            "currval() and lastval() may ask another session than that of the INSERT behind a "
            "transaction pooler (DATABASE_POOLER): use RETURNING or transaction.atomic()"
        )


def refuse_server_side_cursor(in_transaction: bool) -> None:
    """Raise NotSupportedError for a cursor that would outlive its statement's transaction."""
    if not in_transaction:
        raise NotSupportedError(
            "a server-side cursor ends with its transaction behind a transaction pooler "
            "(DATABASE_POOLER): use transaction.atomic(), or iterator(), which needs none"
        )
