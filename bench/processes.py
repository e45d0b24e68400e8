"""What Linux says about a process: proc(5). One that has ended says nothing."""

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def children(pid: int) -> list[int]:
    """The pids of its child processes."""
    return [int(child) for child in _read(pid, f"task/{pid}/children").split()]


def seconds(pid: int, dead_too: bool = False) -> float:
    """CPU time that it has used, and that its ended children have where they count too."""
    # utime, stime, cutime, cstime are fields 14 to 17; the name before may have spaces.
    fields = _read(pid, "stat").rpartition(")")[2].split()
    return sum(map(int, fields[11 : 15 if dead_too else 13])) / _TICKS


def resident(pid: int) -> float:
    """Resident memory, MiB."""
    pages = _read(pid, "statm").split()[1:2]
    return sum(map(int, pages)) * _PAGE / 2**20


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        return ""
