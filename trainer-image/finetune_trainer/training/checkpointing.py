"""Checkpoint schedule and extra state: saves training states every N steps and on request, and resumes from them."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from finetune_api.curves import CurvePoint
from finetune_api.failures import Fenced, JobFailure, StorageUnavailable
from finetune_api.manifest import Lineage
from finetune_api.status import CheckpointInfo
from finetune_trainer.checkpoints.committed import Resumed
from finetune_trainer.checkpoints.other_run import SPEC
from finetune_trainer.checkpoints.snapshot import Snapshot
from finetune_trainer.checkpoints.store import CheckpointStore
from finetune_trainer.observer import CheckpointStatus, RunObserver
from finetune_trainer.signals import StopToken
from finetune_trainer.training.inference import Outputs
from finetune_trainer.training.loop import Loop
from finetune_trainer.training.state.best_weights import BestWeights
from finetune_trainer.training.state.tensors import IncompatibleState

_BASELINE, _START = "baseline", "start"
_SECONDS_AFTER_A_FAILURE = 60.0


@dataclass(frozen=True)
class CachedBaseline:
    """Outputs of the base model, saved with checkpoints so that later attempts reuse them."""

    baseline: Outputs | None = None
    """Outputs of the base model on the rows of the final evaluation."""
    start: CurvePoint | None = None
    """Its metrics on the validation rows: the first point of the curves."""

    def added_to(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot with these outputs; non-numeric ones are left out."""
        parts, values = dict(snapshot.parts), dict(snapshot.values)
        tensors = _tensors(self.baseline or {})
        if tensors:
            parts[_BASELINE] = tensors
        if self.start is not None:
            values[_START] = self.start.model_dump(mode="json")
        return replace(snapshot, parts=parts, values=values)


def cached_baseline_of(snapshot: Snapshot) -> CachedBaseline:
    """The base model outputs in a snapshot; empty for one of another version."""
    start, baseline = snapshot.values.get(_START), snapshot.parts.get(_BASELINE)
    with suppress(ValidationError):
        return CachedBaseline(
            {name: tensor.numpy() for name, tensor in baseline.items()} if baseline else None,
            CurvePoint.model_validate(start) if start is not None else None,
        )
    return CachedBaseline()


def _tensors(outputs: Mapping[str, Any]) -> dict[str, Tensor]:
    try:
        return {name: torch.from_numpy(array) for name, array in outputs.items()}
    except TypeError:  # texts, which are no tensors
        return {}


class CheckpointCallback:
    """A `training.callbacks.StepCallback` that saves the states of one run: every N steps, and on request."""

    def __init__(
        self,
        store: CheckpointStore,
        best: BestWeights,
        requested: Callable[[], str],
        observer: RunObserver,
        stop: StopToken | None = None,
        *,
        spec: Mapping[str, Any] | None = None,
    ) -> None:
        """Take the store, the best weights, the source of requests, and the receiver of checkpoint status.

        `requested` gives a text that changes whenever someone asks for a checkpoint, empty before. `spec` is saved with
        each, so that a run of another spec can see whether it may go on from there.
        """
        self._spec = spec
        self._store, self._requested, self._observer = store, requested, observer
        self._stop = stop or StopToken()
        self.best = best
        """The best weights, on local disk."""
        self._every = 1
        self._safe = CheckpointStatus()
        self._last, self._asked, self._over = -1, "", False
        self.found: Resumed | None = None
        """What training goes on from, until it does."""
        self.step = 0
        """Optimizer steps that are done."""
        self.resumed_from: int | None = None
        """The step of the checkpoint that training was resumed from."""
        self.known = CachedBaseline()
        """What is known beside the state of training."""

    @property
    def newest(self) -> CheckpointInfo | None:
        """The newest committed checkpoint."""
        return self._safe.checkpoints[-1] if self._safe.checkpoints else None

    @property
    def lineage(self) -> Lineage:
        """Lineage of the training, with the run that it continues."""
        return self._store.lineage or self._lineage

    def find_checkpoint(self, lineage: Lineage) -> None:
        """Find the newest checkpoint of earlier attempts. Raises the failures of the store."""
        self._lineage = lineage
        self.found = self._store.newest(lineage)
        if self.found is not None:
            self.known = cached_baseline_of(self.found.snapshot)
        self.tell()

    def resume(self, loop: Loop) -> Resumed | None:
        """Restore `loop` from the newest checkpoint that fits it; None without one."""
        while self.found is not None:
            found, self.found = self.found, None
            try:
                loop.restore(found.snapshot, of_other_run=found.run is not None)
            except IncompatibleState as why:
                self._store.set_aside(found, f"it does not fit this version of the trainer: {why}")
                self.found = self._store.newest(self._lineage)
                continue
            self._last = self.step = self.resumed_from = found.snapshot.step
            return found
        return None

    def begin(self, every: int) -> None:
        """Save a state every `every` steps from now on."""
        self._every = every

    def training_is_over(self) -> None:
        """Answer further requests with the existing checkpoint: the state no longer changes."""
        self._over = True
        self.tell()

    def check(self) -> None:
        """Report checkpoint status. Raises failures of saving."""
        self._store.check()
        self.tell()

    def is_due(self, step: int) -> bool:
        """Whether a save is due, by interval or request."""
        return step % self._every == 0 or self._requested() not in {"", self._asked}

    def keep(self, take: Callable[[], Snapshot]) -> None:
        """Queue a state for the store, after the one before is written: at most one copy is in memory.

        Raises `KeyboardInterrupt` where a stop leaves no time for that.
        """
        if not self._store.wait(self._stop.out_of_time):
            raise KeyboardInterrupt
        self._asked = self._requested()
        snapshot = take()
        self._last = snapshot.step
        snapshot = self.known.added_to(snapshot)
        if self._spec is not None:
            snapshot = replace(snapshot, values={**snapshot.values, SPEC: self._spec})
        self._store.save(snapshot)

    def finish(self, seconds: float | None = None) -> None:
        """Wait until the newest state is committed, or can't be, which is a warning. Raises `Fenced` and the like."""
        try:
            self._store.finish(seconds)
        except StorageUnavailable as failure:
            self._observer.warned(f"the newest checkpoint could not be saved: {failure.problems[0].message}")
        self.tell()

    @contextmanager
    def settled(self) -> Iterator[None]:
        """Wait after the block until queued states are committed or given up.

        A stop waits for what is under way, unless it is asked for twice, as long as whoever stops the run leaves it
        time; a failure waits for a minute.
        """
        try:
            yield
        except KeyboardInterrupt:
            if not self._stop.forced:
                self.finish(self._stop.seconds_to_save)
            raise
        except Exception as error:
            if not isinstance(error, Fenced):
                with suppress(JobFailure):
                    self.finish(_SECONDS_AFTER_A_FAILURE)
            raise
        finally:
            self._store.close()

    def tell(self) -> None:
        """Report the checkpoint status, if it has changed."""
        committed = self._store.committed
        all_safe = bool(committed) and committed[-1].step >= self._last
        if self._over:
            self._asked = self._requested()
        safe = CheckpointStatus(committed, self._store.newest_upload, self._asked if all_safe else self._safe.answered)
        if safe != self._safe:
            self._safe = safe
            self._observer.checkpointed(safe)
