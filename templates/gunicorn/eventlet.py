# Legacy: gunicorn 26 removed this worker, and eventlet is being retired.
# A green thread for each client. Those that touch the database borrow one of DATABASE_SLOTS
# connections (database/slots.py); the others are not held up by them.
worker_class = "eventlet"

# Clients that may be connected to one worker, idle keep-alive connections included. It
# bounds memory, not connections to the database: slots do that.
worker_connections = 1000

# A worker whose event loop is silent for longer is killed. It does not end a slow request:
# the server ends a statement after 15 s (DATABASE_STATEMENT_TIMEOUT).
timeout = 30

# Longer than a load balancer keeps an idle connection (60 s on AWS), so that it is the
# balancer that closes: otherwise it sends a request into a connection just closed here.
keepalive = 65
