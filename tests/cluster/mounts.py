"""Finds and ends what a crashed cluster left: mounts below its folder, processes that carry its name, cgroups."""

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path


def unmount_below(folder: Path) -> None:
    """Unmount all that is mounted below the folder, the innermost first."""
    for point in mounted_below(folder):
        run_quietly(["umount", "--lazy", str(point)])


def mounted_below(folder: Path) -> list[Path]:
    """What is mounted below the folder, the innermost first."""
    points = [Path(line.split()[4]) for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return sorted((p for p in points if p.is_relative_to(folder)), key=lambda p: len(p.parts), reverse=True)


def kill_programs(name: str, argument: str) -> None:
    """Kill processes of the program `name` that have this argument; it must be one that only ours have."""
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            program, *arguments = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if Path(program).name == name and argument in arguments:
                os.kill(int(entry.name), signal.SIGKILL)


def empty_cgroup(name: str) -> None:
    """Kill the processes in the cgroup of that name and remove it, in every hierarchy."""
    for top in [*Path("/sys/fs/cgroup").glob(f"*/{name}"), Path("/sys/fs/cgroup") / name]:
        for group in sorted(top.rglob("cgroup.procs"), key=lambda path: len(path.parts), reverse=True):
            with suppress(OSError):
                for pid in group.read_text().split():
                    os.kill(int(pid), signal.SIGKILL)
                group.parent.rmdir()


def run_quietly(command: list[str]) -> None:
    """Run a command whose failure changes nothing: there may be nothing to clean."""
    subprocess.run(command, check=False, capture_output=True)
