"""The machine on which the figures were measured."""

import os
import platform
import re
import subprocess
from pathlib import Path


def machine() -> dict[str, str]:
    """Return the processor, the system, and the releases of wrk and PgBouncer."""
    cpuinfo = Path("/proc/cpuinfo")
    model = re.search(r"model name\s*: (.*)", cpuinfo.read_text() if cpuinfo.exists() else "")
    programs = {"wrk": release("wrk"), "PgBouncer": release("pgbouncer")}
    return {
        "CPU": model[1] if model else platform.machine(),
        "cores": str(len(os.sched_getaffinity(0))),
        "system": f"{platform.system()} {platform.release()}",
        **{name: version for name, version in programs.items() if version},
    }


def release(program: str) -> str | None:
    """Return the release that `program --version` names, or None if it is not installed."""
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10)
    except OSError:
        return None
    found = re.search(r"\d[\w.]*", done.stdout + done.stderr)
    return found[0] if found else None
