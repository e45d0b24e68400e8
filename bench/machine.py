"""What the figures were measured on."""

import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any


def machine() -> dict[str, Any]:
    """Its processor and its system, and the programs that are not Python's."""
    cpuinfo = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = re.search(r"model name\s*: (.*)", cpuinfo)
    return {
        "CPU": model[1] if model else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.release()}",
        "wrk": release("wrk"),
        "PgBouncer": release("pgbouncer"),
    }


def release(program: str) -> str | None:
    """What a program says of its version; None where it is not installed."""
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10)
    except OSError:
        return None
    found = re.search(r"\d[\w.]*", done.stdout + done.stderr)
    return found[0] if found else None
