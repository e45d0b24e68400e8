"""Other people's software in generated projects: connections stay bounded and are reused.

tests/template/others has the settings and views, and the test that runs in the project. The table
in docs/other-software.md is from such a run.
"""

import ctypes.util
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from baking.combinations import SUPPORTED, Combination
from baking.project import Project
from devdb import Cluster
from devdb.binaries import reachable
from devdb.programs import Programs
from tests.template.conftest import Install
from tests.template.tools import add_other_software, add_packages, measured

pytestmark = pytest.mark.slow

GATEWAYS = {
    "wsgi": Combination("gevent", "psycopg2", "5.2", "web"),
    "asgi": Combination("asgi", "psycopg", "6.1", "web"),
}
# OpenTelemetry's instrumentation has pre-releases only. uv takes one where the requirement has it.
TRACING = ["opentelemetry-sdk>=1.38,<2", "opentelemetry-instrumentation-django>=0.50b0,<1"]
REQUIREMENTS = {
    "drf": ["djangorestframework>=3.16,<4"],
    "toolbar": ["django-debug-toolbar>=6,<9"],
    "sentry": ["sentry-sdk>=2.40,<3"],
    "opentelemetry": TRACING,
    "postgis": [],
    "channels": ["channels>=4.3,<5", "websockets>=15,<17"],
}
DRIVER_TRACING = {
    "wsgi": ["opentelemetry-instrumentation-psycopg2>=0.50b0,<1"],
    "asgi": [
        "opentelemetry-instrumentation-psycopg>=0.50b0,<1",
        "opentelemetry-instrumentation-asgi>=0.50b0,<1",
    ],
}
TRIED = [
    (software, gateway)
    for gateway in GATEWAYS
    for software in REQUIREMENTS
    if (software, gateway) != ("channels", "wsgi")  # it is about ASGI
]
Prepare = Callable[[str], Project]


@pytest.fixture(scope="module")
def prepare(install: Install, tmp_path_factory: pytest.TempPathFactory) -> Prepare:
    """Return a function that copies the project of a gateway, with all the software installed."""
    prepared: dict[str, Project] = {}

    def once(gateway: str) -> Project:
        if gateway not in prepared:
            sound = install(GATEWAYS[gateway])
            project = sound.copy(tmp_path_factory.mktemp("others") / "project")
            needed = [
                requirement
                for software in REQUIREMENTS
                if (software, gateway) in TRIED
                for requirement in REQUIREMENTS[software]
            ]
            add_packages(project, *needed, *DRIVER_TRACING[gateway])
            add_other_software(project)
            prepared[gateway] = project
        return prepared[gateway]

    return once


def test_gateways_are_supported() -> None:
    assert set(GATEWAYS.values()) <= set(SUPPORTED)


@pytest.mark.parametrize(
    ("software", "gateway"), TRIED, ids=[f"{gateway}-{software}" for software, gateway in TRIED]
)
def test_connections_are_bounded_and_reused(
    software: str,
    gateway: str,
    prepare: Prepare,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    if software == "postgis" and (missing := missing_for_postgis()):
        pytest.skip(f"this machine has no {missing}")
    project = prepare(gateway)
    chosen = ["tests/others", "--ds", f"tests.others.settings.{software}"]
    # record_property() warns about the default family.
    written = ["-o", "junit_family=xunit1", "--junitxml=result.xml"]
    with ExitStack() as stack:
        environment = {}
        if software == "postgis":
            environment = stack.enter_context(postgis_server(tmp_path))
        project.run("uv", "run", "--no-sync", "pytest", *chosen, *written, **environment)
    record_property("measured", measured(project.directory / "result.xml", f"{gateway}-{software}"))


@contextmanager
def postgis_server(directory: Path) -> Iterator[dict[str, str]]:
    """Run a PostgreSQL for the block whose new databases have PostGIS, and yield its DATABASE_URL.

    Only a superuser may create the extension, and devdb's has no way in but single-user mode.
    """
    with Cluster(directory / "cluster", throw_away=True) as cluster:
        pass
    programs = Programs(reachable(cluster.binaries, cluster.account), cluster.account)
    # Without exit_on_error: the extension's script handles errors of its own.
    create = "CREATE EXTENSION postgis\n"
    programs.run("postgres", ["--single", "template1"], cluster.data, stdin=create)
    with cluster:
        yield {"DATABASE_URL": cluster.url}


def missing_for_postgis() -> str | None:
    """Return what PostGIS needs and this machine does not have, or None.

    The PostgreSQL has to be the machine's: the one from PyPI comes without PostGIS.
    """
    for library in ("gdal", "geos_c"):
        if ctypes.util.find_library(library) is None:
            return f"lib{library}"
    try:
        found = subprocess.run(["pg_config", "--sharedir"], capture_output=True, text=True)  # noqa: S607
    except FileNotFoundError:
        return "pg_config"
    control = Path(found.stdout.strip(), "extension", "postgis.control")
    return None if control.exists() else "PostGIS (Debian's package is postgresql-15-postgis-3)"
