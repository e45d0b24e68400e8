"""A view defers tasks through its slot, and a process of its own works on them.

The settings module (`--ds tests.background.settings.NAME`) names the queue.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from notes.models import Note

from connection_slots.testing import StartGunicorn
from connection_slots.testing.clients import load, statuses
from connection_slots.testing.sampler import connections_of, sampling
from connection_slots.testing.server import database_url, free_port, production
from connection_slots.testing.waiting import wait_for

BOUND = 2 * 4
# Procrastinate's worker has a pool of four connections and one that listens. The thread that runs
# its tasks has one of Django's; the executor starts a second thread if a task comes before the
# first thread is idle again. The worker of Django's tasks has one.
BACKGROUND = {"procrastinate": 7, "tasks": 1}[
    os.environ["DJANGO_SETTINGS_MODULE"].rpartition(".")[2]
]
TASKS = 100


@dataclass
class Worker:
    """A running background worker. `port` tells its connections apart, as that of gunicorn does."""

    pid: int
    port: int


@contextmanager
def worker(log: Path) -> Iterator[Worker]:
    """Run the queue's worker for the block, with manage.py."""
    port = free_port()
    environment = production(
        DATABASE_URL=database_url(),
        DJANGO_SETTINGS_MODULE=os.environ["DJANGO_SETTINGS_MODULE"],
        PORT=str(port),
    )
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "manage.py", *settings.BACKGROUND_COMMAND],
            cwd=settings.BASE_DIR,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Worker(process.pid, port)
    finally:
        process.terminate()
        process.wait(60)


def test_worker_does_what_a_view_defers(
    gunicorn: StartGunicorn, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    server = gunicorn(
        WEB_CONCURRENCY="2", DATABASE_SLOTS="4", DATABASE_BACKGROUND_CONNECTIONS=str(BACKGROUND)
    )
    log = tmp_path / "worker.log"
    with worker(log) as background, sampling(server) as serving, sampling(background) as working:
        responses = load(server, "/background/defer", clients=20, requests=TASKS // 20)
        assert statuses(responses) == {200: TASKS}, server.log.read_text()[-3000:]
        done = Note.objects.filter(text=f"done by {background.pid}")
        wait_for(lambda: bool(done.count() == TASKS), f"the tasks, see {log}: {log.read_text()}")
        left = connections_of(background.port)
    assert not Note.objects.filter(text="waits").exists()
    record_property("served", serving.peak)
    record_property("background", working.peak)
    assert 1 <= serving.peak <= BOUND
    assert left, "the worker's connections were not seen"
    assert 1 <= working.peak <= BACKGROUND
