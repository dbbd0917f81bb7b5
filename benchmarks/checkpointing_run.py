"""The training whose checkpoints are timed: the project's loop and store, every other checkpoint waited for."""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from finetune_trainer.checkpoints.snapshot import Snapshot
    from finetune_trainer.checkpoints.store import CheckpointStore
    from finetune_trainer.training.loop import Loop

ASYNCHRONOUS, SYNCHRONOUS = "asynchronous", "synchronous"
_QUIET_STEPS = 6
"""Steps without an upload before each checkpoint: what other steps are compared with."""


@dataclass(frozen=True)
class Saved:
    """One checkpoint."""

    side: str
    stall: float
    """Seconds in which no step was made."""
    slower: float
    """Seconds that steps took longer while it was uploaded."""
    upload: float
    """Seconds from its being handed over to its commit."""
    size: int
    """Bytes."""

    def __str__(self) -> str:
        """The figures in a line."""
        steps = f"steps took {self.slower:.2f} s longer"
        return f"{self.side:<14} stall {self.stall:7.3f} s, {steps}, upload {self.upload:6.2f} s"


class EnoughError(Exception):
    """All rounds are done."""


@dataclass
class Stopwatch:
    """A `Keeper` that saves with `store`, in turn on either side, and times what training notices of it."""

    store: "CheckpointStore"
    rounds: int
    told: Callable[[Saved], None]
    quiet: list[float] = field(default_factory=list)
    """Seconds of the steps since the last upload."""
    busy: list[float] = field(default_factory=list)
    """Seconds of the steps beside the newest upload."""
    saved: int = -1
    """Checkpoints so far; the first one is not counted."""
    step: int = -1
    """Step of the newest."""
    stall: float = 0
    last: float = 0

    def check(self) -> None:
        """A step is done."""
        self.store.check()
        now = time.perf_counter()
        seconds, self.last = now - self.last, now
        upload = self.store.newest_upload
        if self.step >= 0 and (upload is None or upload.step != self.step):
            self.busy.append(seconds)
        elif self.step >= 0:
            self._tell()
        else:
            self.quiet.append(seconds)

    def is_due(self, _step: int) -> bool:
        """Whenever enough steps were quiet, and nothing is under way."""
        return self.step < 0 and len(self.quiet) > _QUIET_STEPS

    def keep(self, take: Callable[[], "Snapshot"]) -> None:
        """Save, and wait for it on the plain side."""
        start = time.perf_counter()
        self.store.wait()
        snapshot = take()
        self.store.save(snapshot)
        if self._side() == SYNCHRONOUS:
            self.store.finish()
        self.stall, self.step = time.perf_counter() - start, snapshot.step
        self.last = time.perf_counter()

    def _side(self) -> str:
        return ASYNCHRONOUS if self.saved % 2 == 0 else SYNCHRONOUS

    def _tell(self) -> None:
        upload = self.store.newest_upload
        assert upload is not None  # noqa: S101 -- it is what was waited for
        usual = median(self.quiet[1:])
        slower = sum(seconds - usual for seconds in self.busy)
        if self.saved >= 0:
            self.told(Saved(self._side(), self.stall, slower, upload.seconds, upload.size))
        self.saved += 1
        self.step, self.quiet, self.busy = -1, [], []
        if self.saved == 2 * self.rounds:
            raise EnoughError


def main(rounds: int) -> None:
    """Train until there were so many checkpoints of each side; prints each as a line of JSON."""
    with tempfile.TemporaryDirectory() as folder:
        store = _store(Path(folder))
        watch = Stopwatch(store, rounds, lambda saved: print(json.dumps(asdict(saved)), flush=True))
        try:
            _loop(Path(folder)).run(None, _Silent(), watch)
        except EnoughError:
            store.close()


class _Silent:
    def trained(self, *_: Any) -> None:
        """Nobody is told."""

    def evaluated(self, *_: Any) -> None:
        """Nothing is evaluated."""


def _store(scratch: Path) -> "CheckpointStore":
    from finetune_api.manifest import Lineage
    from finetune_api.output import Checkpoints, Output
    from finetune_trainer.checkpoints.retention import Retention
    from finetune_trainer.checkpoints.store import CheckpointStore
    from finetune_trainer.output.publish import OutputFolder
    from finetune_trainer.storage import Site

    output = OutputFolder(Output(uri="s3://results/bench"), Site(Path("/")), "bench", "1")
    output.claim()
    store = CheckpointStore(
        output, scratch, Retention(Checkpoints(), _metric()), lambda text: print(text, file=sys.stderr)
    )
    store.newest(Lineage(spec_digest="0" * 64, data_digest="0" * 64, model_uri="file:///", model_digest="0" * 64))
    return store


def _metric() -> Any:
    from finetune_api.metrics import find_metric
    from finetune_api.tasks import Task

    return find_metric(Task.SEQUENCE_CLASSIFICATION, "evalLoss")


def _loop(folder: Path) -> "Loop":
    """A loop over a random model of MiniLM's size: 22.7 million parameters, all trained, batches of 16."""
    import numpy as np
    import torch
    from accelerate import Accelerator
    from material import write_model
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    from transformers.utils import logging

    from finetune_api.tasks import ProblemType
    from finetune_api.training import Training
    from finetune_trainer.data.tokenising.batches import BatchPlan
    from finetune_trainer.data.tokenising.collate import TokenRows
    from finetune_trainer.data.tokenising.tokens import tokenise
    from finetune_trainer.training.loop import Loop, TrainingPlan
    from finetune_trainer.training.losses.base import RowLoss
    from finetune_trainer.training.losses.classification import Objective
    from finetune_trainer.training.precision import use_allotted_cpus
    from finetune_trainer.training.state.best_weights import BestWeights

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    use_allotted_cpus()
    write_model(folder / "model", width=384, layers=6, heads=12, wide=1_536, vocabulary=30_522)
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    tokens = tokenise(["The printer was a joy at home in the office."] * 256, None, tokenizer, 64)
    rows = TokenRows(tokens, tokenizer.pad_token_id)
    model = AutoModelForSequenceClassification.from_pretrained(folder / "model", num_labels=3)
    targets = torch.from_numpy(np.arange(256) % 3)
    plan = TrainingPlan(Training(), 1e-5, 100_000, 100_000, _metric(), BatchPlan(rows.lengths, 16, 16, 2_048, 42))
    loss = RowLoss(Objective(ProblemType.SINGLE_LABEL), targets)
    return Loop(model, rows, loss, plan, Accelerator(cpu=True), best=BestWeights(folder))


if __name__ == "__main__":
    main(int(sys.argv[1]))
