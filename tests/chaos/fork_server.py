"""Starts trainer processes in a blink: one process imports everything once and forks for each.

The child is what `finetune-trainer` runs, from the command line's parser to the interpreter's end, and dies of a real
SIGKILL. Orders come as lines of JSON on standard input, one answer for each goes to standard output.
"""

import atexit
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

_NOT_PASSED_ON = {"TMPDIR", "FINETUNE_CACHE", "HF_HOME", "XDG_CACHE_HOME"}
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


@dataclass(frozen=True)
class Limits:
    """What a child is given less of than others."""

    largest_file: int = 0
    """No file of more bytes can be written, as on a disk that is full; 0 means no limit."""
    hurried: bool = False
    """Waits for a store that is away are seconds instead of minutes; nothing else is different."""


NO_LIMITS = Limits()


class ForkServer:
    """The client's side of one such process. One child at a time."""

    def __init__(self, log: Path) -> None:
        """Start it; `log` gets what the server itself has to say."""
        self._log = log.open("ab")
        self._process = subprocess.Popen(
            [sys.executable, __file__, log.with_suffix(".modules.json")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={name: value for name, value in os.environ.items() if name not in _NOT_PASSED_ON} | _ENVIRONMENT,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()
        self._log.close()

    def start(self, arguments: list[str], log: Path, environment: Mapping[str, str], limits: Limits) -> int:
        """Start `finetune-trainer ARGUMENTS`, its output to `log`; returns the process id."""
        order = {"arguments": arguments, "log": str(log), "environment": dict(environment), **asdict(limits)}
        return int(self._ask(order))

    def wait(self) -> int:
        """Wait for the child; returns its exit code, or minus the signal that ended it."""
        return int(self._ask({}))

    def _ask(self, order: dict[str, Any]) -> str:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(order).encode() + b"\n")
        stdin.flush()
        answer = stdout.readline().decode()
        if not answer:
            raise RuntimeError(f"the fork server ended: see {self._log.name}")
        return answer


def _serve(modules: Path) -> None:
    """Fork and wait as told, until the input ends."""
    pid = 0
    for line in sys.stdin:
        order = json.loads(line)
        if order:
            pid = _start(order, modules)
            _tell(pid)
            continue
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        _import_what_it_had(modules)
        _tell(code)


def _tell(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def _start(order: dict[str, Any], modules: Path) -> int:
    pid = os.fork()
    if not pid:
        _be_the_trainer(order, modules)
    return pid


def _be_the_trainer(order: dict[str, Any], modules: Path) -> NoReturn:
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.update(order["environment"])
    tempfile.tempdir = None
    if order["largest_file"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["largest_file"], order["largest_file"]))
    if order["hurried"]:
        _hurry()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    atexit.register(_tell_modules, modules)
    sys.argv = ["finetune-trainer", *order["arguments"]]
    from finetune_trainer.cli.app import main

    main()
    sys.exit(0)


def _hurry() -> None:
    from finetune_trainer.checkpoints.persistence import Persistence
    from finetune_trainer.storage import Patience

    for kind, values in ((Patience, {"retries": 2, "seconds": 4.0}), (Persistence, {"seconds": 4.0})):
        kind.__init__.__defaults__ = tuple(values.get(one.name, one.default) for one in fields(kind))


def _tell_modules(file: Path) -> None:
    part = file.with_suffix(".part")
    with suppress(OSError):
        part.write_text(json.dumps([name for name in sys.modules if not name.startswith("__")]))
        part.replace(file)


def _import_what_it_had(modules: Path) -> None:
    """Import what the first child that came to its end had imported, so that later ones need not."""
    if not modules.exists():
        return
    for name in json.loads(modules.read_text()):
        if name not in sys.modules:
            with suppress(Exception):
                importlib.import_module(name)
    modules.unlink()


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
