# One request at a time in each process, and one slot. A slow client occupies its worker, so put a
# proxy that buffers requests, such as nginx, in front.
worker_class = "sync"

# A worker that does not respond for longer is killed, with its request. PostgreSQL ends a
# statement after 15 s (DATABASE_STATEMENT_TIMEOUT), and connecting ends after 6 s: both are first.
timeout = 30

# The sync worker closes the connection after each response; keep-alive is left to the proxy.
keepalive = 2
