"""Starts programs and ends exactly those: children of this process, or ones that outlive it and are found again.

A child ends also when this process is killed: its minder sees to that. A program that outlives its parent is known by
its process id and the moment of its start, so that an id which the system gave to another process meanwhile is left
alone.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import minder

_STOP_SECONDS = 20
_TAIL = 3000
"""Characters of a log that an error quotes."""


@dataclass(frozen=True)
class Running:
    """A started program."""

    name: str
    pid: int
    started: str
    """Start of the process as the system counts it (clock ticks since boot); empty where /proc is missing."""


class Processes:
    """The programs of one folder: `<name>.log` for each, and `processes.json` that says what runs."""

    def __init__(self, folder: Path, *, outlive: bool = False) -> None:
        """Start nothing yet. With `outlive` the programs go on when this process ends."""
        self.folder = folder
        self._outlive = outlive
        self._record = folder / "processes.json"
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._running = _read(self._record) if outlive else {}

    def start(self, name: str, command: list[str | Path], environment: Mapping[str, str] | None = None) -> None:
        """Start a program under a name of its own; its output goes to its log."""
        if not self._outlive:
            minder.get_ready()
        with self.log(name).open("wb") as log:
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, **(environment or {})}, start_new_session=self._outlive,
            )  # fmt: skip
        if not self._outlive:
            minder.entrust(child.pid)
        self._children[name] = child
        self._running[name] = Running(name, child.pid, minder.start_of(child.pid))
        self._save()

    def log(self, name: str) -> Path:
        """Where a program's output is."""
        return self.folder / f"{name}.log"

    def log_tail(self, name: str) -> str:
        """The end of a program's output, for an error message."""
        path = self.log(name)
        return path.read_text(errors="replace")[-_TAIL:] if path.is_file() else ""

    def ended(self) -> list[str]:
        """Names of started programs that don't run any more."""
        return [name for name in self._running if not self.alive(name)]

    def alive(self, name: str) -> bool:
        """Whether the program of that name runs."""
        if name in self._children:
            return self._children[name].poll() is None
        running = self._running.get(name)
        return running is not None and minder.start_of(running.pid) == running.started != ""

    def pids(self) -> list[int]:
        """Process ids of the programs that run."""
        return [running.pid for name, running in self._running.items() if self.alive(name)]

    def stop(self, *names: str) -> None:
        """End the programs of these names, or all; the newest first. One that does not end in time is killed."""
        for name in [n for n in reversed(self._running) if not names or n in names]:
            self._end(name)
            if not self._outlive:
                minder.take_back(self._running[name].pid)
            del self._running[name]
            self._children.pop(name, None)
            self._save()

    def _end(self, name: str) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            if not self.alive(name):
                return
            with suppress(ProcessLookupError):
                os.kill(self._running[name].pid, number)
            deadline = time.monotonic() + _STOP_SECONDS
            while self.alive(name) and time.monotonic() < deadline:
                time.sleep(0.02)

    def _save(self) -> None:
        if self._outlive:
            part = self._record.with_suffix(".part")
            part.write_text(json.dumps([asdict(running) for running in self._running.values()]))
            part.replace(self._record)


def _read(record: Path) -> dict[str, Running]:
    entries = json.loads(record.read_text()) if record.is_file() else []
    return {entry["name"]: Running(**entry) for entry in entries}
