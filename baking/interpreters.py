"""Find the Python interpreters of this machine."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

NEWER = 4  # minor releases that are looked for, the oldest included


class NoInterpreter(Exception):
    """This machine has no Python of the release that a project needs."""


def interpreter(version: str) -> str:
    """Return the full path of a Python of `version` or later.

    Raises:
        NoInterpreter: There is none on this machine.
    """
    found = next(interpreters(version), None)
    if found is None:
        raise NoInterpreter(f"no Python {version} or later on this machine")
    return found


def interpreters(version: str) -> Iterator[str]:
    """Yield the full paths of the Pythons of `version` or later.

    Each candidate is run. Version managers put shims on PATH that work for their default release
    only, so their own directories are searched as well.
    """
    wanted = tuple(map(int, version.split(".")))
    managed = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    names = [f"python3.{minor}" for minor in range(wanted[1], wanted[1] + NEWER)]
    candidates = [sys.executable, *(shutil.which(name) for name in names)]
    candidates += [shutil.which(name, path=os.defpath) for name in names]
    candidates += [str(path) for name in names for path in sorted(managed.glob(f"3.*/bin/{name}"))]
    program = "import json, sys; print(json.dumps([sys.base_prefix, sys.version_info[:2]]))"
    for candidate in filter(None, candidates):
        done = subprocess.run([candidate, "-c", program], capture_output=True, text=True)
        if done.returncode == 0:
            prefix, found = json.loads(done.stdout)
            if tuple(found) >= wanted:
                yield str(Path(prefix, "bin", f"python{found[0]}.{found[1]}"))
