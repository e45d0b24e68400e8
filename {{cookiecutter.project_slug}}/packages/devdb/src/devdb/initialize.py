"""Create the data of a cluster: a role, its password and its database."""

import os
import secrets
import shutil
from pathlib import Path

from devdb.binaries import major_version
from devdb.programs import Programs


def create(directory: Path, name: str, programs: Programs) -> None:
    """Create `directory`/data with a database `name` and a role `name` that owns it.

    The role is no superuser and may create databases. The password is in `directory`/password.
    """
    (directory / ".gitignore").write_text("*\n")
    (directory / "name").write_text(name)
    password = secrets.token_urlsafe(16)
    _write_private(directory / "password", password)
    # Renamed when it is complete: an interrupted start leaves no half of a data directory.
    data = directory / "data.new"
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(mode=0o700)
    if programs.account:
        shutil.chown(data, programs.account)
    try:
        _initialize(data, name, password, programs)
        data.rename(directory / "data")
    except BaseException:
        shutil.rmtree(data, ignore_errors=True)
        raise


def _initialize(data: Path, name: str, password: str, programs: Programs) -> None:
    locale = ["--no-locale"]
    if major_version(programs.binaries) >= 17:
        locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    programs.run("initdb", ["-U", "devdb_superuser", "-E", "UTF8", "-N", *locale], data)
    # The superuser has no password, and so no way in but single-user mode.
    (data / "pg_hba.conf").write_text("host all all 127.0.0.1/32 scram-sha-256\n")
    programs.run(
        "postgres",
        ["--single", "-c", "exit_on_error=on", "postgres"],
        data,
        stdin=f"CREATE ROLE \"{name}\" LOGIN CREATEDB PASSWORD '{password}'\n"
        f'CREATE DATABASE "{name}" OWNER "{name}"\n',
    )


def _write_private(path: Path, text: str) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
