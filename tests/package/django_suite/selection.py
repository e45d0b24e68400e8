"""The labels that concern connections, transactions, cursors, threads and the session.

Without cache, migrations and test_runner, which concern them too, but take as long as the rest.
"""

SELECTED = [
    "asgi",
    "async",
    "backends",
    "bulk_create",
    "db_utils",
    "delete_regress",
    "force_insert_update",
    "get_or_create",
    "handlers",
    "middleware",
    "multiple_database",
    "postgres_tests",
    "raw_query",
    "schema",
    "select_for_update",
    "servers",
    "sessions_tests",
    "test_client",
    "test_utils",
    "timezones",
    "transaction_hooks",
    "transactions",
]
