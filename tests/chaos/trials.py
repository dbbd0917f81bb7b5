"""One job that is interrupted again and again: its pod's folders, its place in the store, its attempts."""

import json
import os
import shutil
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fork_server import NO_LIMITS, ForkServer, Limits
from material import write_model, write_rows
from storage_faults import Fault, Trap
from storage_proxy import StorageProxy

from finetune_api import pod
from finetune_api.termination import Termination

BUCKET = "results"
_HANGS_AFTER = 400.0
_SPEC: dict[str, Any] = {
    "task": "SequenceClassification",
    "model": {"uri": "pvc://models/tiny"},
    "data": {"train": [{"uri": "configmap://tickets/train.csv"}], "clean": {"dropDuplicates": False}},
    "method": {"type": "Full"},
    "training": {"epochs": 3, "learningRate": 0.003, "batchSize": 8, "earlyStopping": {"patience": 0}},
    "evaluation": {"evalSteps": 5, "baseline": False},
    "checkpoints": {"saveSteps": 4, "keepLast": 1, "keepBest": 1},
    "output": {"uri": f"s3://{BUCKET}/team-a"},
}


@dataclass(frozen=True)
class Ended:
    """How an attempt ended."""

    code: int
    """Exit code, or minus the signal."""
    log: str
    told: Termination | None
    """The termination message, if there is one."""
    hung: bool = False
    """Whether it had to be killed because it did not end at all."""

    def __str__(self) -> str:
        """The end in a line, and the last lines of the log."""
        failure = self.told.failure if self.told else None
        code = f"exit code {self.code}" if self.code >= 0 else signal.Signals(-self.code).name
        why = f", {failure.code}: {failure.message}" if failure else ""
        return f"{'hung, ' * self.hung}{code}{why}\n{self.log[-3000:]}"


@dataclass
class Site:
    """Where trials take place: a fork server, a proxy, the bucket's folder, the folders of a pod."""

    forks: ForkServer
    proxy: StorageProxy
    bucket: Path
    keys: dict[str, str]
    root: Path
    spec: dict[str, Any] = field(default_factory=lambda: _SPEC)

    def furnish(self) -> None:
        """Make the pod's folders, with a model and rows in them."""
        for name in ("mnt/claims/models", "mnt/config-maps/tickets", "etc/finetune/job", "dev", "scratch"):
            (self.root / name).mkdir(parents=True)
        write_model(self.root / "mnt/claims/models/tiny")
        write_rows(self.root / "mnt/config-maps/tickets/train.csv")


@dataclass
class Trial:
    """One job."""

    site: Site
    uid: str
    blocks: dict[str, Any] = field(default_factory=dict)
    """Merged over the site's spec."""
    attempts: list[Ended] = field(default_factory=list)
    touched: set[str] = field(default_factory=set)
    """All paths that any attempt wrote or deleted."""

    @property
    def folder(self) -> Path:
        """The job's output, as it is in the store."""
        return self.site.bucket / "team-a/tickets" / self.uid

    @property
    def prefix(self) -> str:
        """What all paths that it may touch begin with."""
        return f"/{BUCKET}/team-a/tickets/{self.uid}/"

    def run(
        self,
        *faults: Fault,
        trap: Callable[[Callable[[], None]], Trap] | None = None,
        limits: Limits = NO_LIMITS,
        disturb: Callable[[int], None] | None = None,
    ) -> Ended:
        """Run an attempt to its end, in a new pod.

        `trap` is made with what kills the trainer; `disturb` gets its process id, in a thread of its own.
        """
        site, process = self.site, _Process()
        self._new_pod()
        site.proxy.arm(*faults, trap=trap(process.kill) if trap else None)
        log = site.root / "log"
        arguments = ["pod", "--root", str(site.root), "--port", "0"]
        process.pid = site.forks.start(arguments, log, {"HOME": str(site.root)}, limits)
        process.started.set()
        threads = [threading.Timer(_HANGS_AFTER, process.give_up)]
        if disturb is not None:
            threads.append(threading.Thread(target=disturb, args=(process.pid,), daemon=True))  # type: ignore[arg-type]
        for thread in threads:
            thread.start()
        code = site.forks.wait()
        threads[0].cancel()
        for thread in threads:
            thread.join()
        site.proxy.settle()
        self.touched |= {path for request in site.proxy.requests for path in request.touched}
        ended = Ended(code, log.read_text(errors="replace"), self._told(), hung=process.hung)
        self.attempts.append(ended)
        return ended

    def _new_pod(self) -> None:
        root, site = self.site.root, self.site
        shutil.rmtree(root / "scratch")
        (root / "scratch").mkdir()
        for left in ("log", "dev/termination-log"):
            (root / left).unlink(missing_ok=True)
        spec = {
            name: {**block, **self.blocks.get(name, {})} if isinstance(block, dict) else block
            for name, block in site.spec.items()
        }
        settings = {"AWS_ENDPOINT_URL": site.proxy.endpoint, "AWS_REGION": "us-east-1"}
        order = {
            "job": {"name": "tickets", "namespace": "team-a", "uid": self.uid},
            "spec": {**spec, "output": {**spec["output"], "secretRef": {"name": "store-keys"}}},
            "stores": {"settings": settings},
        }
        for name, value in site.keys.items():
            file = root / "etc/finetune/secrets/store-keys" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(value)
        (root / pod.RUN_FILE.relative_to("/")).write_text(json.dumps(order))

    def _told(self) -> Termination | None:
        message = self.site.root / pod.TERMINATION_MESSAGE.relative_to("/")
        return Termination.decode(message.read_text()) if message.exists() else None


@dataclass
class _Process:
    pid: int = 0
    hung: bool = False
    started: threading.Event = field(default_factory=threading.Event)

    def kill(self) -> None:
        self.started.wait()
        os.kill(self.pid, signal.SIGKILL)

    def give_up(self) -> None:
        self.hung = True
        self.kill()
