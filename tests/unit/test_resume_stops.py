"""A real signal in each phase of a run: how it ends, and that the next attempt goes on from there."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest

from finetune_api.outcome import Outcome, Progress
from finetune_trainer.checkpoints.disposal import discard_checkpoints
from finetune_trainer.cli.json_progress import JsonObserver
from finetune_trainer.manifest import load_job
from finetune_trainer.observer import Advance, TrainingTotals
from finetune_trainer.run import run_job
from finetune_trainer.run_record import RunResult
from finetune_trainer.signals import stop_signals
from finetune_trainer.storage import Folder, Site

LAST = 7


class Stopping(JsonObserver):
    """Sends SIGTERM to its own process when something begins, written as `phase Training 1` for the first time."""

    def __init__(self, moment: str = "") -> None:
        super().__init__(StringIO())
        self._moment, self._seen, self.steps = moment, list[str](), list[int]()

    def phase(self, name: str) -> None:
        self._begins(f"phase {name}")

    def trained(self, progress: Progress, tally: TrainingTotals) -> None:  # noqa: ARG002 -- as all observers
        self.steps.append(progress.step)
        self._begins(f"step {progress.step}")

    def evaluated(self, step: int, metrics: dict[str, float], is_best: bool) -> None:  # noqa: ARG002 -- as above
        self._begins(f"evaluated {step}")

    @contextmanager
    def working(self, what: str, total: int) -> Iterator[Advance]:  # noqa: ARG002 -- as above
        self._begins(f"working {what}")
        yield lambda _rows: None
        self._begins(f"done {what}")

    def _begins(self, what: str) -> None:
        self._seen.append(what)
        if f"{what} {self._seen.count(what)}" == self._moment:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture
def attempt(job: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[RunResult, Stopping]]:
    """A function that runs the job once more, up to a moment."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    path = job(
        training={"maxSteps": LAST, "earlyStopping": {"patience": 0}},
        evaluation={"evalSteps": 3},
        checkpoints={"saveSteps": 1_000},
    )
    loaded = load_job(path, [])

    def run(moment: str = "", uid: str = "one") -> tuple[RunResult, Stopping]:
        observer = Stopping(moment)
        with stop_signals() as stop:
            return run_job(loaded.job, Site(Path(loaded.base)), uid, observer, stop=stop), observer

    return run


Attempt = Callable[..., tuple[RunResult, Stopping]]


@pytest.mark.slow
@pytest.mark.causes("Interrupted")
@pytest.mark.parametrize(
    "moment",
    [
        "phase Validating 1",
        "phase Starting 1",
        "working tokenising 1",
        "working preparing rows 1",
        "phase Evaluating 1",
        "working baseline 1",
        "phase Training 1",
    ],
)
def test_before_training_nothing_is_lost(moment: str, attempt: Attempt) -> None:
    ended, _ = attempt(moment)
    assert ended.failure is not None
    assert (ended.failure.code, int(ended.exit_code), ended.checkpoint) == ("Interrupted", 130, None)
    assert "nothing was lost" in str(ended.failure)
    assert ended.report.outcome is Outcome.STOPPED


@pytest.mark.slow
@pytest.mark.causes("Stopped")
@pytest.mark.parametrize(
    ("moment", "step"),
    [
        ("step 1 1", 1),
        ("step 3 1", 3),
        ("evaluated 3 1", 3),
        ("step 7 1", 7),
        ("evaluated 7 1", 7),
        ("phase Evaluating 2", 7),
        ("working evaluating 1", 7),
        ("phase Exporting 1", 7),
        ("working publishing 1", 7),
    ],
)
def test_from_the_first_step_on_all_is_kept(moment: str, step: int, attempt: Attempt) -> None:
    whole, _ = attempt(uid="whole")
    ended, before = attempt(moment)
    assert ended.failure is not None
    assert (ended.failure.code, int(ended.exit_code)) == ("Stopped", 85)
    assert ended.checkpoint is not None
    assert ended.checkpoint.step == step == before.steps[-1]
    assert f"step {step} is safe in a checkpoint" in str(ended.failure)

    again, _ = attempt("phase Training 1")
    assert (int(again.exit_code), again.checkpoint) == (85, ended.checkpoint), "what is safe stays safe"
    last, after = attempt()
    assert last.failure is None
    assert [*before.steps, *after.steps] == list(range(1, LAST + 1))
    assert (last.report.resumed_from, last.attempt, last.checkpoint) == (step, 3, None)
    assert last.report.curves == whole.report.curves
    assert last.report.evaluation == whole.report.evaluation


@pytest.mark.slow
def test_a_stop_after_the_commit_changes_nothing(attempt: Attempt) -> None:
    done, _ = attempt()
    assert int(done.exit_code) == 0
    again, observer = attempt("phase Validating 1")
    assert (int(again.exit_code), observer.steps) == (0, [])


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["done publishing 1", "disposal"])
def test_a_result_that_is_published_stands_and_its_checkpoints_go(
    moment: str, attempt: Attempt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop_and_discard(folder: Folder, warned: Callable[[str], None]) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        discard_checkpoints(folder, warned)

    if moment == "disposal":
        monkeypatch.setattr(f"{run_job.__module__}.discard_checkpoints", stop_and_discard)
    ended, _ = attempt(moment, uid=moment.replace(" ", "-"))
    assert ended.failure is None
    assert ended.checkpoint is None
    assert ended.artifacts.model is not None
    assert Path(url2pathname(urlsplit(ended.artifacts.model).path)).is_dir()
    assert not list((tmp_path / "out").rglob("checkpoints/**/*.*"))
