"""Watchdog process that ends a hanging trainer: nothing made progress for a long time.

A thread could not do it: code below Python may hold the lock of the interpreter for ever. The trainer counts its
progress in shared memory; the process looks there, and at the bytes that the trainer reads and writes. Time that both
were frozen for, or the trainer alone was stopped for, does not count.
"""

import ctypes
import faulthandler
import mmap
import os
import signal
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from finetune_api.exit_codes import ExitCode

_NUMBER = signal.SIGALRM
"""What the trainer is ended by. Its handler is `_exit` itself, which takes the number for the exit code."""
_DOING = 200
_COUNT = struct.Struct("<Q")
_POSITION = struct.Struct("<QQq")
_POSITION_AT, _DOING_AT = _COUNT.size, _COUNT.size + _POSITION.size
_SHARED = _DOING_AT + 1 + _DOING
_LOOKS = 20
_LONGEST_LOOK = 15.0
_BYTES = 4 << 20
"""Bytes read and written that show a transfer under way; serving metrics for an hour takes less."""
_STOPPED = frozenset("Tt")
"""States of a process that is stopped by a signal, or by a debugger."""
_SECONDS_TO_END = 10.0
_DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG


class Position(NamedTuple):
    """Position of a run: what its termination message has beside the failure."""

    attempt: int = 0
    step: int = 0
    resumed_from: int | None = None


class Heartbeat:
    """Progress counter of the trainer in shared memory."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, _SHARED)
        self._count = 0
        self.move_to(Position())

    def move_to(self, position: Position) -> None:
        """Set the position."""
        resumed = -1 if position.resumed_from is None else position.resumed_from
        self._shared[_POSITION_AT:_DOING_AT] = _POSITION.pack(position.attempt, position.step, resumed)

    def beat(self, doing: str = "") -> None:
        """Count progress, with a short text on the current operation unless a previous one still holds."""
        self._count += 1
        if doing:
            text = doing.encode()[:_DOING]
            self._shared[_DOING_AT : _DOING_AT + 1 + len(text)] = bytes([len(text)]) + text
        self._shared[: _COUNT.size] = _COUNT.pack(self._count)

    @property
    def count(self) -> int:
        """Number of beats."""
        return int(_COUNT.unpack(self._shared[: _COUNT.size])[0])

    @property
    def doing(self) -> str:
        """Text of the last beat."""
        text = self._shared[_DOING_AT + 1 : _DOING_AT + 1 + self._shared[_DOING_AT]]
        return text.decode(errors="replace")

    @property
    def position(self) -> Position:
        """The last position."""
        attempt, step, resumed = _POSITION.unpack(self._shared[_POSITION_AT:_DOING_AT])
        return Position(attempt, step, None if resumed < 0 else resumed)


@dataclass(frozen=True)
class Signs:
    """Signs of progress of a process."""

    beats: int
    transferred: int
    """Bytes that it has read and written, from and to disks too where memory is mapped."""

    def moved_since(self, before: "Signs") -> bool:
        """Whether there was progress: a beat, or a transfer above a small threshold."""
        return self.beats != before.beats or self.transferred - before.transferred >= _BYTES


class IdleTime:
    """Time without progress of a process, sampled. Pure: clock and signs are parameters."""

    def __init__(self, signs: Signs, now: float, longest_look: float) -> None:
        """Take the first sample, and the maximum time between samples that counts (the node may be suspended)."""
        self._signs, self._seen, self._longest = signs, now, longest_look
        self.seconds = 0.0

    def look(self, signs: Signs, now: float, *, stopped: bool) -> float:
        """Take a sample; returns the seconds without progress."""
        passed, self._seen = min(now - self._seen, self._longest), now
        if signs.moved_since(self._signs):
            self._signs, self.seconds = signs, 0.0
        elif not stopped:
            self.seconds += passed
        return self.seconds


@contextmanager
def watched(seconds: float, ending: Callable[[Heartbeat], None]) -> Iterator[Heartbeat]:
    """End this process with code `HUNG` if the block makes no progress for `seconds`; 0 means never.

    Before that, `ending` is called in the other process with the last heartbeat, and all threads write where they are
    to standard error. Call it before there are threads.
    """
    heartbeat = Heartbeat()
    if not seconds:
        yield heartbeat
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.signal.argtypes, libc.signal.restype = (ctypes.c_int, ctypes.c_void_p), ctypes.c_void_p
    libc.signal(_NUMBER, ctypes.cast(libc._exit, ctypes.c_void_p))  # noqa: SLF001 -- its name in C
    faulthandler.register(_NUMBER, file=sys.__stderr__ or 2, all_threads=True, chain=True)
    watcher = _start(lambda parent: _watch(parent, heartbeat, seconds, ending), libc)
    try:
        yield heartbeat
    finally:
        with suppress(ProcessLookupError):
            os.kill(watcher, signal.SIGKILL)
        os.waitpid(watcher, 0)
        faulthandler.unregister(_NUMBER)
        signal.signal(_NUMBER, signal.SIG_DFL)


def _start(work: Callable[[int], None], libc: ctypes.CDLL) -> int:
    """Fork a process that runs `work` with the parent's id and ends with the parent; returns its id."""
    parent = os.getpid()
    child = os.fork()
    if child:
        return child
    try:
        libc.prctl(_DIES_WITH_PARENT, signal.SIGKILL)
        signal.signal(_NUMBER, signal.SIG_DFL)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if os.getppid() == parent:
            work(parent)
    finally:
        os._exit(0)


def _watch(parent: int, heartbeat: Heartbeat, seconds: float, ending: Callable[[Heartbeat], None]) -> None:
    look = min(_LONGEST_LOOK, seconds / _LOOKS)
    idle = IdleTime(_signs(parent, heartbeat), time.monotonic(), 2 * look)
    while idle.look(_signs(parent, heartbeat), time.monotonic(), stopped=_is_stopped(parent)) < seconds:
        time.sleep(look)
    try:
        ending(heartbeat)
    finally:
        os.kill(parent, _NUMBER)
        time.sleep(_SECONDS_TO_END)
        os.kill(parent, signal.SIGKILL)


def _signs(process: int, heartbeat: Heartbeat) -> Signs:
    lines = _read(process, "io").splitlines()
    found = {name: int(value) for name, _, value in (line.partition(": ") for line in lines) if value.isdigit()}
    return Signs(heartbeat.count, sum(found.get(name, 0) for name in ("rchar", "wchar", "read_bytes")))


def _is_stopped(process: int) -> bool:
    state = _read(process, "stat").rpartition(") ")[2]
    return state[:1] in _STOPPED


def _read(process: int, name: str) -> str:
    """A file of `/proc`; empty where it can't be read."""
    try:
        return Path("/proc", str(process), name).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


if int(ExitCode.HUNG) != int(_NUMBER):  # the handler is given the number, and exits with it
    raise RuntimeError(ExitCode.HUNG)
