"""Kills the servers of a process that was killed itself, and so could not end them.

    python minder.py PARENT     # reads `+ PID STARTED` and `- PID` from standard input until PARENT is gone

A process that starts a server calls `get_ready` before and `entrust` after. The first call starts a minder beside it,
which has a session of its own and so hears neither Ctrl-C nor the end of a terminal. When the parent is gone, or has
closed the pipe at its own end, what is still entrusted is killed. A death signal of the kernel would do so on Linux
alone, and at the end of the thread that started the server instead of the process.
"""

import atexit
import os
import select
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_LOOK_SECONDS = 0.5
"""How often a minder looks for its parent: a forked copy of the parent may hold the pipe open."""


@dataclass
class _Minder:
    """The minder of the process `parent`."""

    process: "subprocess.Popen[bytes]"
    parent: int

    def order(self, line: str) -> None:
        """Write one order. A minder that is gone minds nothing; that is no reason to stop."""
        assert self.process.stdin is not None
        with suppress(OSError):
            self.process.stdin.write(f"{line}\n".encode())
            self.process.stdin.flush()

    def dismiss(self) -> None:
        """Let it end what is left, and end itself."""
        if os.getpid() == self.parent:
            with suppress(OSError):
                self.process.communicate()


_ours: list[_Minder] = []


def get_ready() -> None:
    """Start this process's minder, if it has none: then a child is entrusted in the moment in which it starts."""
    _minder()


def entrust(pid: int) -> None:
    """Have this child killed when this process is gone: with its process group, where it leads one."""
    _minder().order(f"+ {pid} {start_of(pid)}")


def take_back(pid: int) -> None:
    """Leave this child alone from now on: it has ended, and its number will be another's."""
    _minder().order(f"- {pid}")


def start_of(pid: int) -> str:
    """When a process began, in clock ticks since boot.

    Empty for one that is gone or only waits for its parent to notice, and where /proc is missing.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def _minder() -> _Minder:
    """The minder of this process; a forked copy of a process that has one gets its own."""
    if not _ours or _ours[-1].parent != os.getpid():
        process = subprocess.Popen(
            [sys.executable, "-S", "-E", __file__, str(os.getpid())],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        _ours.append(_Minder(process, os.getpid()))
        atexit.register(_ours[-1].dismiss)
    return _ours[-1]


def _mind(parent: int) -> None:
    """Follow the orders until the parent is gone; then kill what is still entrusted."""
    wards: dict[int, str] = {}
    unread = b""
    while True:
        if not select.select([0], [], [], _LOOK_SECONDS)[0]:
            if os.getppid() != parent:
                break
            continue
        if not (more := os.read(0, 65_536)):
            break
        *lines, unread = (unread + more).split(b"\n")
        for line in lines:
            verb, number, *began = line.decode().split()
            if verb == "+":
                wards[int(number)] = "".join(began)
            else:
                wards.pop(int(number), None)
    for pid, started in wards.items():
        _kill(pid, started)


def _kill(pid: int, started: str) -> None:
    """Kill the process that began then, with its group if it leads one: another may have its number by now."""
    if start_of(pid) != started:
        return
    with suppress(OSError):
        os.killpg(pid, signal.SIGKILL) if os.getpgid(pid) == pid else os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    _mind(int(sys.argv[1]))
