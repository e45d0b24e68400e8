# gunicorn's own ASGI worker. A request that touches the database borrows one of
# DATABASE_SLOTS connections (database/slots.py); the others are not held up by them.
worker_class = "asgi"

# A worker whose event loop is silent for longer is killed. It does not end a slow request:
# the server ends a statement after 15 s (DATABASE_STATEMENT_TIMEOUT).
timeout = 30

# Longer than a load balancer keeps an idle connection (60 s on AWS), so that it is the
# balancer that closes: otherwise it sends a request into a connection just closed here.
keepalive = 65

# Django has no lifespan; asking it for one would only log an error.
asgi_lifespan = "off"

# After a client hangs up gunicorn cancels its request; by then a statement has ended
# by itself (15 s), and the request with it.
asgi_disconnect_grace_period = 20
