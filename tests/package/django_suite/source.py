"""Django's test suite, from the source release of the Django that is installed."""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import django

from tests.package.django_suite.results import SuiteError

ROOT = Path(__file__).resolve().parents[3]
CACHE = ROOT / ".cache" / "django_suite"


def find_suite() -> Path:
    """Return the directory of runtests.py, downloaded from the package index if it is not cached.

    Raise SuiteError if that is impossible.
    """
    version = django.get_version()
    kept = CACHE / f"django-{version}"
    if not kept.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        (CACHE / ".gitignore").write_text("*\n")
        with tempfile.TemporaryDirectory(dir=CACHE) as directory:
            found = _extract(_download(version, Path(directory)), version)
            try:
                found.rename(kept)
            except OSError:
                if not kept.exists():  # else another process was faster
                    raise
    return kept / "tests"


def _download(version: str, directory: Path) -> Path:
    """Return the archive. pip verifies its hash."""
    if shutil.which("uv"):
        pip = ["uv", "tool", "run", "--python", sys.executable, "pip"]
    else:
        pip = [sys.executable, "-m", "pip"]
    command = ["download", "--no-binary", "django", "--no-deps", "--quiet", "--dest", "."]
    print(f"downloading the source release of Django {version}", file=sys.stderr)
    done = subprocess.run(
        [*pip, *command, f"django=={version}"], cwd=directory, capture_output=True, text=True
    )
    archives = list(directory.glob("*.tar.gz"))
    if done.returncode or not archives:
        said = (done.stderr.strip() or done.stdout.strip() or "pip said nothing").splitlines()[-1]
        raise SuiteError(f"the source release of Django {version} could not be downloaded: {said}")
    return archives[0]


def _extract(archive: Path, version: str) -> Path:
    """Return the directory that was in the archive."""
    with tarfile.open(archive) as opened:
        opened.extractall(archive.parent, filter="data")
    found = archive.parent / archive.name.removesuffix(".tar.gz")
    information = found / "PKG-INFO"
    if not information.exists() or f"\nVersion: {version}\n" not in information.read_text():
        raise SuiteError(f"{archive.name} is not the source release of Django {version}")
    if not os.access(found / "tests" / "runtests.py", os.R_OK):
        raise SuiteError(f"{archive.name} has no tests/runtests.py")
    return found
