"""Memory that is free for a process: of a GPU, or of the machine within the limit of the container (cgroup)."""

from pathlib import Path

import torch

_LIMITS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.stat"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        "/sys/fs/cgroup/memory/memory.stat",
    ),
)
"""Limit, use and details of cgroups, version 2 and 1."""
_UNLIMITED = 1 << 62


def available_bytes(device: torch.device) -> int:
    """Bytes that can still be allocated on a device."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + unused
    return max(0, min(_of_machine(), *(_of_cgroup(*(Path(path) for path in paths)) for paths in _LIMITS)))


def _of_machine(meminfo: Path = Path("/proc/meminfo")) -> int:
    """Available bytes of the machine; a large number where it doesn't tell."""
    try:
        lines = meminfo.read_text().splitlines()
    except OSError:
        return _UNLIMITED
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else _UNLIMITED


def _of_cgroup(limit: Path, used: Path, details: Path) -> int:
    """Bytes that the cgroup's limit leaves; a file's pages that can be dropped count as free."""
    try:
        most, now, stat = limit.read_text().strip(), int(used.read_text()), details.read_text()
    except (OSError, ValueError):
        return _UNLIMITED
    if not most.isdigit():  # "max"
        return _UNLIMITED
    droppable = [int(line.split()[1]) for line in stat.splitlines() if line.startswith("inactive_file ")]
    return int(most) - now + sum(droppable)
