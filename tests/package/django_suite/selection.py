"""The labels that concern connections, transactions, cursors, threads and the session."""

SELECTED = [
    "asgi",
    "backends",
    "transactions",
]
