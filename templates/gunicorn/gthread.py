# Threads live as long as their worker, so Django's connection per thread is one per slot.
worker_class = "gthread"
threads = _slots

# Clients that may be connected to one worker: those beyond `threads` wait in a poller, idle
# keep-alive connections too, and hold neither a thread nor a database connection. A client
# that sends its request slowly holds a thread; a proxy that buffers (nginx) keeps it away.
worker_connections = 1000

# A worker whose main thread is silent for longer is killed. Requests are not what it counts:
# the server ends a statement after 15 s (DATABASE_STATEMENT_TIMEOUT).
timeout = 30

# Longer than a load balancer keeps an idle connection (60 s on AWS), so that it is the
# balancer that closes: otherwise it sends a request into a connection just closed here.
keepalive = 65
