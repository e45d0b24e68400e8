"""The guide for existing services works, step by step, and bounds their connections."""

import os
import re
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from baking.combinations import ROOT
from connection_slots.testing.clients import load, statuses
from connection_slots.testing.server import free_port, wait_for
from devdb import Cluster

GUIDE = (ROOT / "docs" / "adopting.md").read_text()
BLOCKS = dict(re.findall(r"^```python (\w+)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL))

WORKERS, SLOTS = 2, 10
CLIENTS = 40
DEADLINE = 30  # seconds

# A page that queries, waits for something else and queries again.
PAGES = """
import time

from django.db import connection
from django.http import HttpResponse
from django.urls import path


def page(request):
    for pause in (0.2, 0):
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        time.sleep(pause)
    return HttpResponse("ok")


urlpatterns = [path("page", page)]
"""


class Service:
    """A Django service in a directory, and the command that serves it."""

    def __init__(self, directory: Path, settings: Path, package: str, worker_class: str) -> None:
        self.directory = directory
        self.settings = settings  # the module that runs in production
        self.worker_class = worker_class
        gateway = "asgi" if worker_class == "asgi" else "wsgi"
        self.gateway_file = directory / package / f"{gateway}.py"
        self.command = [f"{package}.{gateway}", f"--workers={WORKERS}", f"-k={worker_class}"]

    def adopt(self) -> None:
        """Follow the guide."""

        def fitting(name: str) -> str:
            return str(BLOCKS[name]).replace("gevent", self.worker_class)

        append(self.settings, fitting("settings"))
        configuration = fitting("gunicorn")
        if self.worker_class == "asgi":
            configuration = re.sub(r".*# not with asgi\n", "", configuration)
            source = self.gateway_file.read_text()
            source = re.sub(r"^(from django.core.asgi|application =).*$", "", source, flags=re.M)
            self.gateway_file.write_text(source + BLOCKS["asgi"])
        (self.directory / "gunicorn.conf.py").write_text(configuration)
        self.command = self.command[:1]


def append(path: Path, text: str) -> None:
    path.write_text(f"{path.read_text()}\n{text}")


def plain(directory: Path, worker_class: str) -> Service:
    """Return what `django-admin startproject` makes in a new directory, with PostgreSQL."""
    directory.mkdir()
    command = [sys.executable, "-m", "django", "startproject", "shop", str(directory)]
    subprocess.run(command, check=True)
    settings = directory / "shop" / "settings.py"
    append(
        settings,
        """
import dj_database_url

ALLOWED_HOSTS = ["127.0.0.1"]
DATABASES = {"default": dj_database_url.config(conn_max_age=60)}
""",
    )
    (directory / "shop" / "urls.py").write_text(PAGES)
    return Service(directory, settings, "shop", worker_class)


def like_cookiecutter_django(directory: Path, worker_class: str) -> Service:
    """Return a project with settings for production in a module that extends others."""
    plain(directory, worker_class)
    config = directory / "config"
    (directory / "shop").rename(config)
    (config / "settings").mkdir()
    base, production = config / "settings" / "base.py", config / "settings" / "production.py"
    (config / "settings.py").rename(base)
    (config / "settings" / "__init__.py").touch()
    production.write_text("from .base import *\n\nDEBUG = False\n")
    for path in (base, config / "wsgi.py", config / "asgi.py", directory / "manage.py"):
        source = path.read_text().replace("shop.settings", "config.settings.production")
        path.write_text(source.replace("shop.", "config."))
    return Service(directory, production, "config", worker_class)


@contextmanager
def serving(service: Service, url: str, log: Path) -> Iterator[int]:
    """Run the service's gunicorn for the block, and yield its port."""
    port = free_port()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", *service.command, f"--bind=127.0.0.1:{port}"],
            cwd=service.directory,
            env={"PATH": os.environ["PATH"], "DATABASE_URL": url},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for(lambda: serves(port, process, log), f"gunicorn to serve, see {log}", DEADLINE)
        yield port
    finally:
        process.terminate()
        process.wait(DEADLINE)


def serves(port: int, process: subprocess.Popen[bytes], log: Path) -> bool:
    """Return True if the page is answered. Raises AssertionError if gunicorn has ended."""
    assert process.poll() is None, log.read_text()
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/page", timeout=10).close()
    except OSError:
        return False
    return True


class Peak(threading.Thread):
    """Counts the other connections to a database until it is stopped."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.most = 0
        self.stopped = threading.Event()

    def run(self) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            while not self.stopped.wait(0.02):
                row = connection.execute(
                    "SELECT count(*) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    " AND backend_type = 'client backend'"
                ).fetchone()
                assert row is not None
                self.most = max(self.most, row[0])


def most_connections(service: Service, url: str, log: Path) -> int:
    """Serve under load, and return the most connections that were open."""
    with serving(service, url, log) as port:
        peak = Peak(url)
        peak.start()
        try:
            answers = load(Port(port), "/page", clients=CLIENTS, requests=4)
        finally:
            peak.stopped.set()
            peak.join()
    assert statuses(answers) == {200: CLIENTS * 4}, log.read_text()
    return peak.most


class Port:
    """What a load is sent to."""

    def __init__(self, port: int) -> None:
        self.port = port


@pytest.mark.parametrize(
    ("make", "worker_class"),
    [(plain, "gevent"), (like_cookiecutter_django, "asgi")],
    ids=["startproject-gevent", "cookiecutter-django-asgi"],
)
def test_guide_bounds_connections(
    make: Callable[[Path, str], Service],
    worker_class: str,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    service = make(tmp_path / "service", worker_class)
    with Cluster(
        tmp_path / "database", name="shop", throw_away=True, max_connections=200
    ) as cluster:
        before = most_connections(service, cluster.url, tmp_path / "before.log")
        service.adopt()
        after = most_connections(service, cluster.url, tmp_path / "after.log")
    record_property("adopted", [(f"{make.__name__}, {worker_class}", before, after)])
    assert before > WORKERS * SLOTS
    assert 0 < after <= WORKERS * SLOTS


@pytest.mark.parametrize("missing", ["settings", "gunicorn"])
def test_half_the_guide_is_refused(missing: str, tmp_path: Path) -> None:
    """Without one of the steps gunicorn does not start, and says what is missing."""
    service = plain(tmp_path / "service", "gevent")
    service.adopt()
    if missing == "gunicorn":
        (service.directory / "gunicorn.conf.py").write_text("worker_class = 'gevent'\n")
    else:
        source = service.settings.read_text().replace("connection_slots.backend", "other")
        service.settings.write_text(source.replace('"ENGINE": "other"', '"TIME_ZONE": None'))
    done = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=service.directory,
        env={"PATH": os.environ["PATH"], "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert done.returncode != 0
    assert "connection_slots.E00" in done.stderr
