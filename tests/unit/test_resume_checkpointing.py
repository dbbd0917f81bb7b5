"""Between loop and store, on a real folder: what is due, what travels along, what is passed over."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from finetune_api.curves import CurvePoint
from finetune_api.manifest import Lineage
from finetune_api.metrics import metric_named
from finetune_api.output import Checkpoints, Output
from finetune_api.status import CheckpointInfo
from finetune_api.tasks import Task
from finetune_trainer.checkpoints.retention import Retention
from finetune_trainer.checkpoints.snapshot import Snapshot
from finetune_trainer.checkpoints.store import CheckpointStore
from finetune_trainer.observer import CheckpointStatus
from finetune_trainer.output.publish import OutputFolder
from finetune_trainer.pod.checkpoint_request import CheckpointRequest
from finetune_trainer.stopping import stop_of
from finetune_trainer.storage import Site
from finetune_trainer.training.checkpointing import CachedBaseline, CheckpointCallback
from finetune_trainer.training.state.best_weights import BestWeights
from finetune_trainer.training.state.tensors import IncompatibleState

LINEAGE = Lineage(spec_digest="1" * 64, data_digest="2" * 64, model_uri="file:///m", model_digest="3" * 64)
KNOWN = CachedBaseline(
    {"logits": np.float32([[0.5, -1.5], [2, 3]]), "lengths": np.int64([3, 4])},
    CurvePoint(step=0, epoch=0, validation={"evalLoss": 0.7}),
)


class Observer:
    def __init__(self) -> None:
        self.warnings, self.told = list[str](), list[CheckpointStatus]()

    def warned(self, text: str) -> None:
        self.warnings.append(text)

    def checkpointed(self, safe: CheckpointStatus) -> None:
        self.told.append(safe)


class Loop:
    """Takes what `fits` says."""

    def __init__(self, fits: Callable[[Snapshot], bool]) -> None:
        self._fits, self.restored = fits, list[int]()

    def restore(self, snapshot: Snapshot, *, of_other_run: bool) -> None:
        assert not of_other_run
        if not self._fits(snapshot):
            raise IncompatibleState("weight a is not the same in the model")
        self.restored.append(snapshot.step)


def snapshot(step: int) -> Snapshot:
    return Snapshot(step, step / 10, {"weights": {"a": torch.full((3,), float(step))}}, {"training": {"step": step}})


@pytest.fixture
def callback(tmp_path: Path) -> Callable[..., CheckpointCallback]:
    """A function that begins an attempt: `requested` is who asks for checkpoints."""

    def begin(requested: Callable[[], str] = str) -> CheckpointCallback:
        output = OutputFolder(Output(uri=(tmp_path / "out").as_uri()), Site(tmp_path), "job", "uid")
        output.claim()
        retention = Retention(Checkpoints(keep_last=5), metric_named(Task.SEQUENCE_CLASSIFICATION, "evalLoss"))
        observer: Any = Observer()
        store = CheckpointStore(output, tmp_path / "scratch", retention, observer.warned)
        begun = CheckpointCallback(store, BestWeights(tmp_path), requested, observer)
        begun.observer = observer  # type: ignore[attr-defined]
        begun.find_checkpoint(LINEAGE)
        return begun

    return begin


def saved(callback: CheckpointCallback, *steps: int) -> None:
    with callback.settled():
        for step in steps:
            callback.keep(lambda step=step: snapshot(step))
        callback.finish()


def test_what_was_computed_before_training_travels_along(callback: Callable[..., CheckpointCallback]) -> None:
    first = callback()
    assert first.known == CachedBaseline()
    first.known = KNOWN
    saved(first, 3)
    second = callback()
    assert second.known.start == KNOWN.start
    baseline = second.known.baseline or {}
    assert baseline.keys() == {"logits", "lengths"}
    for name, array in (KNOWN.baseline or {}).items():
        assert baseline[name].dtype == array.dtype
        assert np.array_equal(baseline[name], array)


def test_texts_are_computed_again(callback: Callable[..., CheckpointCallback]) -> None:
    first = callback()
    first.known = CachedBaseline({"texts": np.array(["a", "b"])}, KNOWN.start)
    saved(first, 3)
    second = callback()
    assert (second.known.baseline, second.known.start) == (None, KNOWN.start)


def test_a_state_that_does_not_fit_is_passed_over_for_the_next_older(
    callback: Callable[..., CheckpointCallback],
) -> None:
    saved(callback(), 1, 2, 3)
    second: Any = callback()
    loop: Any = Loop(lambda snapshot: snapshot.step < 3)
    assert second.resume(loop).manifest.step == 2
    assert loop.restored == [2]
    (warning,) = second.observer.warnings
    assert "checkpoints/1/3 can't be used: it does not fit this version of the trainer: weight a" in warning
    third: Any = callback()
    loop = Loop(lambda _: False)
    assert third.resume(loop) is None
    assert loop.restored == []
    assert len(third.observer.warnings) == 3


def test_what_is_due() -> None:
    asked = ""
    callback: Any = object.__new__(CheckpointCallback)
    callback._requested, callback._asked = lambda: asked, ""
    callback.begin(5)
    assert [step for step in range(1, 16) if callback.is_due(step)] == [5, 10, 15]
    asked = "now"
    assert callback.is_due(7)


def test_a_request_is_answered_once_it_is_safe(callback: Callable[..., CheckpointCallback]) -> None:
    wanted = ""
    first: Any = callback(lambda: wanted)
    first.begin(1_000)
    with first.settled():
        assert not first.is_due(3)
        wanted = "please"
        assert first.is_due(3)
        first.keep(lambda: snapshot(3))
        assert not first.is_due(4), "once is enough"
        first.finish()
        told = first.observer.told[-1]
        assert (told.answered, [info.step for info in told.checkpoints], told.upload.step) == ("please", [3], 3)
        assert all(safe.answered == "" or safe.checkpoints for safe in first.observer.told)
        wanted = "once more"
        first.training_is_over()
        assert first.observer.told[-1].answered == "once more", "there is nothing newer to save"


def fail_after(callback: CheckpointCallback, step: int) -> None:
    with callback.settled():
        callback.keep(lambda: snapshot(step))
        raise ZeroDivisionError


def test_a_failure_lets_what_is_under_way_come_through(callback: Callable[..., CheckpointCallback]) -> None:
    first = callback()
    with pytest.raises(ZeroDivisionError):
        fail_after(first, 4)
    assert first.newest is not None
    assert first.newest.step == 4


def test_a_file_asks_for_checkpoints(tmp_path: Path) -> None:
    request = CheckpointRequest(tmp_path / "checkpoint")
    assert request() == "", "no such file, no request"
    (tmp_path / "checkpoint").write_text(f" now {'x' * 200}\n")
    assert request() == "", "it is not looked at all the time"
    request._next = 0
    assert request() == f"now {'x' * 124}"
    request._next = 0
    (tmp_path / "checkpoint").write_bytes(b"\xff\xfe")
    assert request() == f"now {'x' * 124}", "what can't be read changes nothing"


INFO = CheckpointInfo(step=20, uri="file:///out/checkpoints/1/20")


@pytest.mark.parametrize(
    ("step", "safe", "code", "words"),
    [
        (20, INFO, 85, "step 20 is safe in a checkpoint"),
        (0, INFO, 85, "step 20 is safe in a checkpoint"),
        (25, INFO, 130, "step 25 was not saved in time, step 20 is safe"),
        (25, None, 130, "step 25 was not saved in time"),
        (0, None, 130, "nothing was lost"),
    ],
)
def test_what_a_stop_amounts_to(step: int, safe: CheckpointInfo | None, code: int, words: str) -> None:
    failure = stop_of(step, safe, "resume with: x --resume")
    assert failure.exit_code == code
    assert words in str(failure)
    assert ("resume with: x --resume" in str(failure)) == (safe is not None)
    assert replace(failure.problems[0], hint="").message
