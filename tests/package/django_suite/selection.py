"""The labels that concern connections, transactions, cursors, threads and the session.

Without cache, migrations, schema and test_runner, which take longer than all of these.
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
    "select_for_update",
    "servers",
    "sessions_tests",
    "test_client",
    "test_utils",
    "timezones",
    "transaction_hooks",
    "transactions",
]
