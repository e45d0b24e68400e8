"""The connection to PostgreSQL is encrypted, and the server's certificate is verified."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from baking.combinations import Combination
from devdb import Cluster
from tests.template.conftest import Install

COMBINATIONS = [
    Combination("gthread", "psycopg2", "5.2", "web"),
    Combination("asgi", "psycopg", "6.1", "web"),
]
QUESTION = """
from django.db import connection
with connection.cursor() as cursor:
    cursor.execute("SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    print(*cursor.fetchone())
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The URL of a server that has a certificate for localhost, and a copy of that."""
    with Cluster(tmp_path_factory.mktemp("tls"), name="tls", throw_away=True) as cluster:
        certificate = make_certificate(cluster.data, "server", "localhost")
        copy = shutil.copy(certificate, tmp_path_factory.mktemp("certificate"))
        with (cluster.data / "postgresql.conf").open("a") as configuration:
            configuration.write("\nssl = on\n")
        cluster.stop()
        cluster.start()
        yield cluster.url.replace("@127.0.0.1:", "@localhost:"), Path(copy)


def make_certificate(directory: Path, name: str, host: str) -> Path:
    """Write a certificate that signs itself, and its key. Both belong to the directory's owner."""
    certificate, key = directory / f"{name}.crt", directory / f"{name}.key"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 1"
    names = ["-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command.split(), *names, *files], check=True, capture_output=True)
    key.chmod(0o600)
    for each in (certificate, key):
        shutil.chown(each, directory.stat().st_uid, directory.stat().st_gid)
    return certificate


@pytest.mark.parametrize("combination", COMBINATIONS, ids=str)
def test_certificate_is_verified(
    combination: Combination, server: tuple[str, Path], install: Install, tmp_path: Path
) -> None:
    project = install(combination)
    address, right = server
    wrong = make_certificate(tmp_path, "wrong", "localhost")

    def ask(url: str, certificate: Path) -> subprocess.CompletedProcess[str]:
        verified = f"{url}?sslmode=verify-full&sslrootcert={certificate}"
        return project.attempt(
            "uv", "run", "python", "manage.py", "shell", "--verbosity", "0", "--command", QUESTION,
            DATABASE_URL=verified, DEBUG="true", SECRET_KEY="for tests only",
        )  # fmt: skip

    answer = ask(address, right)
    assert answer.stdout.split()[0] == "True", answer.stderr
    assert "certificate verify failed" in ask(address, wrong).stderr
    by_address = ask(address.replace("@localhost:", "@127.0.0.1:"), right).stderr
    assert "does not match host name" in by_address
