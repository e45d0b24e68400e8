"""gunicorn for a peer: as many workers, threads and patience as the generated project has."""

import os

wsgi_app = f"measured.{os.environ['BENCH_GATEWAY']}:application"
bind = f"127.0.0.1:{os.environ['PORT']}"
workers = int(os.environ["WEB_CONCURRENCY"])
worker_class = os.environ["BENCH_WORKER"]
if worker_class == "gthread":
    threads = int(os.environ["THREADS"])
keepalive = 65
timeout = 30
worker_tmp_dir = "/dev/shm"  # noqa: S108
control_socket_disable = True
if worker_class == "asgi":
    asgi_lifespan = "off"


def post_fork(server, worker):
    """What psycogreen's documentation asks for."""
    if os.environ["BENCH_PSYCOGREEN"] == "true":
        if worker_class == "gevent":
            from psycogreen.gevent import patch_psycopg
        else:
            from psycogreen.eventlet import patch_psycopg

        patch_psycopg()
