# gunicorn's own ASGI worker. A request that uses the database acquires one of DATABASE_SLOTS
# slots for as long as a transaction or a cursor is open; the others do not wait for it.
worker_class = "asgi"

# A worker whose event loop does not respond for longer is killed. This does not end a slow
# request: PostgreSQL ends a statement after 15 s (DATABASE_STATEMENT_TIMEOUT).
timeout = 30

# Longer than a load balancer keeps an idle connection (60 s on AWS), so that it is always the
# balancer that closes it. Otherwise it could send a request into a connection that just closed.
keepalive = 65

# Django has no lifespan protocol, and asking for it would only log an error.
asgi_lifespan = "off"

# gunicorn cancels a request this long after its client has hung up. By then PostgreSQL has
# ended its statement (15 s), and the request has ended by itself.
asgi_disconnect_grace_period = 20
