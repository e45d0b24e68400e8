# A request holds a slot only while a transaction or a cursor is open, so there may be many more
# threads than slots. A thread costs memory (about 1 MiB), not a connection.
worker_class = "gthread"
threads = _threads

# Clients that may be connected to one worker. Those beyond `threads` wait in a poller, idle
# keep-alive connections too. A client that sends its request slowly occupies a thread: put a
# proxy that buffers requests, such as nginx, in front.
worker_connections = 1000

# A worker whose main thread does not respond for longer is killed. This does not end a slow
# request: PostgreSQL ends a statement after 15 s (DATABASE_STATEMENT_TIMEOUT).
timeout = 30

# Longer than a load balancer keeps an idle connection (60 s on AWS), so that it is always the
# balancer that closes it. Otherwise it could send a request into a connection that just closed.
keepalive = 65
