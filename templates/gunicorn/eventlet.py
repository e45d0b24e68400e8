import warnings  # noqa: E402

# eventlet warns of itself in nine lines at each start. README.md says what it means.
warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")

# Legacy: gunicorn 26 removed this worker, and eventlet is being retired.
# A green thread for each client. A request holds a slot only while a transaction or a cursor is
# open; the others do not wait for it.
worker_class = "eventlet"

# Clients that may be connected to one worker, idle keep-alive connections included. This limits
# memory. Slots limit the connections to the database.
worker_connections = 1000

# A worker whose event loop does not respond for longer is killed. This does not end a slow
# request: PostgreSQL ends a statement after 15 s (DATABASE_STATEMENT_TIMEOUT).
timeout = 30

# Longer than a load balancer keeps an idle connection (60 s on AWS), so that it is always the
# balancer that closes it. Otherwise it could send a request into a connection that just closed.
keepalive = 65
