"""The operator as a process of its own, as in its image: started, killed and asked like there."""

import json
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import minder

OPERATOR = "system:serviceaccount:finetune-system:operator"
"""User that the operators of the tests act as."""
READY_SECONDS = 60
_SETTINGS = """\
namespaces: {namespaces}
trainer: {{name: registry.example/finetune-trainer:1.0}}
profiles:
  default: {{requests: {{cpu: "1", memory: 1Gi}}}}
{more}\
terminationGraceSeconds: 2
pollSeconds: 0.3
statusSeconds: 0.5
metricsPort: 0
healthPort: 0
"""


class OperatorProcess:
    """`with OperatorProcess(...) as operator:` runs one that is ready, and ends it."""

    def __init__(self, folder: Path, kubeconfig: Path, namespaces: list[str], **profiles: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._settings = folder / "settings.yaml"
        more = "".join(f"  {name}: {json.dumps(profile)}\n" for name, profile in profiles.items())
        self._settings.write_text(_SETTINGS.format(namespaces=namespaces, more=more))
        self._kubeconfig = kubeconfig
        self._log = folder / "operator.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        try:
            self.wait_until_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start it anew; does not wait for anything."""
        command = [sys.executable, "-m", "finetune_operator", "--settings", self._settings]
        minder.get_ready()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen([*command, "--kubeconfig", self._kubeconfig], stdout=log, stderr=log)
        minder.entrust(self._process.pid)

    def wait_until_ready(self) -> None:
        """Return when it has seen everything. Fails with its log when it ends or takes too long."""
        deadline = time.monotonic() + READY_SECONDS
        while not self._ready():
            assert self.running, f"the operator ended:\n{self.log}"
            assert time.monotonic() < deadline, f"the operator did not become ready:\n{self.log}"
            time.sleep(0.05)

    def kill(self) -> None:
        """End it at once, as a crash does."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> float:
        """Ask it to end, and return the seconds that it took; 0 where it had ended."""
        if self._process is None or self._process.poll() is not None:
            return 0.0
        started = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)
        return time.monotonic() - started

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """What it ended with."""
        return None if self._process is None else self._process.poll()

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """What it logged since its last start."""
        return self._log.read_text() if self._log.exists() else ""

    def metrics(self) -> str:
        """Return what Prometheus would get."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port('metrics')}/metrics", timeout=10) as answer:
            return str(answer.read().decode())

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port('probes')}/readyz", timeout=10) as answer:
                return bool(answer.status == 200)
        except (LookupError, OSError):
            return False

    def _port(self, what: str) -> int:
        found = re.search(rf"{what} on port (\d+)", self.log)
        if found is None:
            raise LookupError(what)
        return int(found[1])


StartOperator = Callable[..., OperatorProcess]
