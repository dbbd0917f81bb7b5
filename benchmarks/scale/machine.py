"""Who used the processors meanwhile: each program of the benchmark, and everything else on this machine."""

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_BUSY = (0, 1, 2, 5, 6)
"""Columns of /proc/stat that count work: user, nice, system, interrupts."""
ALL = "everything on this machine"
THIS = "client"


def processor_seconds() -> dict[str, float]:
    """Return the processor time used so far, by program: this process, its children, and all together."""
    used = {ALL: sum(_machine()[column] for column in _BUSY) / _TICKS}
    for folder in Path("/proc").glob("[0-9]*"):
        name, parent, seconds = _process(folder)
        if parent == os.getpid():
            used[name] = used.get(name, 0.0) + seconds
    used[THIS] = _process(Path("/proc/self"))[2]
    return used


def since(before: dict[str, float]) -> dict[str, float]:
    """Return what was used since `before` was taken."""
    return {name: seconds - before.get(name, 0.0) for name, seconds in processor_seconds().items()}


def _machine() -> list[int]:
    return [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]


def _process(folder: Path) -> tuple[str, int, float]:
    """Name, parent and processor seconds of a process; nothing for one that has ended meanwhile."""
    try:
        command, _, rest = (folder / "stat").read_text().partition("(")[2].rpartition(")")
    except OSError:
        return "", 0, 0.0
    fields = rest.split()
    name = "operator" if command.startswith("python") else command
    return name, int(fields[1]), (int(fields[11]) + int(fields[12])) / _TICKS
