"""Generated projects keep their promises behind a real PgBouncer in transaction mode."""

from pathlib import Path

import psycopg
import pytest

from baking.combinations import Combination
from baking.pgbouncer import MISSING, is_installed, pgbouncer
from devdb import Cluster
from tests.template.conftest import Install

pytestmark = pytest.mark.skipif(not is_installed(), reason=MISSING)

COMBINATIONS = [
    Combination("gevent", "psycopg2", "5.2", "api"),
    *(
        pytest.param(each, marks=pytest.mark.slow)
        for each in (
            Combination("asgi", "psycopg", "6.1", "web"),
            Combination("gthread", "psycopg2", "6.1", "web"),
            Combination("gevent", "psycopg", "5.2", "web"),
        )
    ),
]
POOL_SIZE = 20  # as many as the two workers of the tests have slots
# With the limits of the server, nothing connects before the role has its timeouts.
DECLARED = f"""\
[server]
max_connections = 100

[pgbouncer]
instances = 1
pool_size = {POOL_SIZE}
max_clients = 1000
"""


@pytest.mark.parametrize("combination", COMBINATIONS, ids=str)
def test_suite_passes_behind_pgbouncer(
    combination: Combination, install: Install, tmp_path: Path
) -> None:
    project = install(combination)
    declared = tmp_path / "database.toml"
    declared.write_text(DECLARED)
    # PgBouncer keeps connections to the test database, so that it cannot be dropped.
    tests = (
        "--reuse-db",
        "tests/test_connections.py",
        "tests/test_notes.py",
        "tests/test_settings.py",
    )
    with (
        Cluster(tmp_path / "database", name="pooled", throw_away=True) as cluster,
        pgbouncer(cluster.url, POOL_SIZE) as bouncer,
    ):
        environment = {
            "ALLOWED_HOSTS": "localhost",
            "DATABASE_POOLER": "transaction",
            "DATABASE_URL": bouncer.url,
            "SECRET_KEY": "for-tests-only",
        }
        command = ("python", "manage.py", "database_budget", "--sql", "--declared", str(declared))
        sql = project.run("uv", "run", *command, **environment).stdout
        with psycopg.connect(cluster.url, autocommit=True) as server:
            limit, *timeouts = sql.splitlines()
            assert limit.endswith(f"CONNECTION LIMIT {POOL_SIZE};")  # for an administrator
            for statement in timeouts:
                server.execute(statement.encode())
        project.run("uv", "run", "pytest", *tests, **environment)
