# One request at a time and one connection for each process: the slot is the process.
# A slow client holds its worker, so put a proxy that buffers (nginx) in front.
worker_class = "sync"

# A worker that is silent for longer is killed, with its request. The server ends a statement
# after 15 s (DATABASE_STATEMENT_TIMEOUT) and a connect is given up after 6: both come first.
timeout = 30

# The sync worker closes the connection after each response; keep-alive is for the proxy.
keepalive = 2
