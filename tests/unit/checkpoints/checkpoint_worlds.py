"""What tests of checkpoints share: states that tell their step, stores over real folders, and folders that fail."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from finetune_api.manifest import Lineage
from finetune_api.metrics import metric_named
from finetune_api.output import Checkpoints, Output
from finetune_api.tasks import Task
from finetune_trainer.checkpoints.persistence import Persistence
from finetune_trainer.checkpoints.retention import Retention
from finetune_trainer.checkpoints.snapshot import Snapshot
from finetune_trainer.checkpoints.store import CheckpointStore
from finetune_trainer.output.publish import OutputFolder
from finetune_trainer.storage import Folder, Site
from finetune_trainer.storage.folder import Listing

LINEAGE = Lineage(spec_digest="0" * 64, data_digest="1" * 64, model_uri="hf://a/b", model_digest="2" * 64)
HASTY = Persistence(first_wait=0.01, seconds=0.1, lag_seconds=600)
LOSS = metric_named(Task.SEQUENCE_CLASSIFICATION, "evalLoss")
ACCURACY = metric_named(Task.SEQUENCE_CLASSIFICATION, "accuracy")


def snapshot(step: int, metric: float | None = None, size: int = 64) -> Snapshot:
    """A state of which every part says which step it is of."""
    numbers = torch.Generator().manual_seed(step)
    parts = {
        "weights": {
            "layer.weight": torch.randn(size, 4, generator=numbers),
            "layer.bias": torch.full((4,), float(step)),
        },
        "optimizer": {"layer.weight.exp_avg": torch.randn(size, 4, generator=numbers)},
    }
    return Snapshot(step, step / 10, parts, {"step": step, "order": [3, 1, 2], "best": None}, metric)


def same(one: Snapshot, other: Snapshot) -> bool:
    """Whether two states are equal, bit by bit."""
    return (one.step, one.epoch, one.values, one.metric) == (
        other.step,
        other.epoch,
        other.values,
        other.metric,
    ) and _bits(one) == _bits(other)


def _bits(state: Snapshot) -> dict[str, Any]:
    return {
        f"{part}/{name}": (str(tensor.dtype), tuple(tensor.shape), tensor.contiguous().view(-1).numpy().tobytes())
        for part, tensors in state.parts.items()
        for name, tensor in tensors.items()
    }


@dataclass
class World:
    """A job's output on disk, and the attempts at it."""

    root: Path
    uid: str = "uid-1"
    warnings: list[str] = field(default_factory=list)
    _opened: list[CheckpointStore] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        """The output."""
        return self.root / "runs" / "reviews" / self.uid

    def output(self, wrap: Callable[[Folder], Folder] = lambda folder: folder) -> OutputFolder:
        """Claim the output for a new attempt that sees it through `wrap`."""
        output = OutputFolder(Output(uri="file://./runs"), Site(self.root), "reviews", self.uid)
        output.folder = wrap(output.folder)
        output.claim(self.warnings.append)
        return output

    def attempt(
        self,
        output: OutputFolder | None = None,
        keep: Checkpoints = Checkpoints(),  # noqa: B008 -- it is frozen
        persistence: Persistence = HASTY,
    ) -> CheckpointStore:
        """The store of a new attempt."""
        output = output or self.output()
        scratch = self.root / "scratch" / str(output.held)
        opened = CheckpointStore(output, scratch, Retention(keep, LOSS), self.warnings.append, persistence)
        self._opened.append(opened)
        return opened

    def stored(self) -> set[str]:
        """Paths of all files below `checkpoints/`."""
        below = self.folder / "checkpoints"
        return {path.relative_to(below).as_posix() for path in below.rglob("*") if path.is_file()}

    def close(self) -> None:
        """End all attempts."""
        for store in self._opened:
            store.close()


class DeadError(Exception):
    """The process is gone: nothing that it does reaches the store any more."""


class Watched:
    """A folder whose writes can be interfered with: `on_write` is called around each, in order."""

    def __init__(self, folder: Folder, on_write: Callable[[str, Callable[[], None]], None]) -> None:
        """Take the real folder, and what is given each write's path and the write itself."""
        self._folder, self._on_write = folder, on_write

    def put(self, path: str, data: bytes | Path) -> None:
        """See `Folder.put`."""
        self._on_write(path, lambda: self._folder.put(path, data))

    def put_new(self, path: str, data: bytes) -> None:
        """See `Folder.put_new`."""
        self._on_write(path, lambda: self._folder.put_new(path, data))

    def delete(self, path: str) -> None:
        """See `Folder.delete`."""
        self._on_write(path, lambda: self._folder.delete(path))

    def delete_all(self, prefix: str) -> None:
        """See `Folder.delete_all`; one write for each file."""
        for path, _ in self._folder.list(prefix):
            self.delete(path)

    def get(self, path: str) -> bytes:
        """See `Folder.get`."""
        return self._folder.get(path)

    def download(self, path: str, to: Path) -> None:
        """See `Folder.download`."""
        self._folder.download(path, to)

    def fetch(self, path: str, scratch: Path) -> Path:
        """See `Folder.fetch`."""
        return self._folder.fetch(path, scratch)

    def list(self, prefix: str = "") -> Listing:
        """See `Folder.list`."""
        return self._folder.list(prefix)

    def exists(self, path: str) -> bool:
        """See `Folder.exists`."""
        return self._folder.exists(path)

    def version(self, path: str) -> str:
        """See `Folder.version`."""
        return self._folder.version(path)

    def uri(self, path: str = "") -> str:
        """See `Folder.uri`."""
        return self._folder.uri(path)


class Dying:
    """Ends the process at its `number`-th write, before the store sees it or right after it was carried out."""

    def __init__(self, number: int, *, after: bool) -> None:
        """Take the write, counted from 1, and whether the store carries it out."""
        self._number, self._after = number, after
        self.writes = 0

    @property
    def dead(self) -> bool:
        """Whether it came so far."""
        return self.writes >= self._number

    def __call__(self, _path: str, write: Callable[[], None]) -> None:
        """Let a write through, or die of it."""
        self.writes += 1
        if self.writes > self._number:
            raise DeadError
        if self.writes == self._number:
            if self._after:
                write()
            raise DeadError
        write()
