"""Whole runs with examples in the prompt: three models side by side, and a tuned one that is as without them."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune_api.failures import SpecInvalid
from finetune_trainer.cli.json_progress import JsonObserver
from finetune_trainer.manifest import load_job
from finetune_trainer.observer import Advance, TrainingTotals
from finetune_trainer.run import run_job
from finetune_trainer.run_record import RunResult
from finetune_trainer.signals import stop_signals
from finetune_trainer.storage import Site

ROOT = Path(__file__).parents[3]
PROBLEMS = ROOT / "tests" / "data" / "word_problems" / "word_problems.jsonl"


class Watching(JsonObserver):
    """Notes what is worked at and warned of; sends SIGTERM to its own process after a step."""

    def __init__(self, stop_after: int = 0) -> None:
        super().__init__(StringIO())
        self._stop_after, self.worked, self.warnings, self.lines = stop_after, list[str](), list[str](), list[str]()

    @contextmanager
    def working(self, what: str, total: int) -> Iterator[Advance]:  # noqa: ARG002 -- as all observers
        self.worked.append(what)
        yield lambda _rows: None

    def warned(self, text: str) -> None:
        self.warnings.append(text)

    def said(self, text: str) -> None:
        self.lines.append(text)

    def trained(self, progress: Any, tally: TrainingTotals) -> None:  # noqa: ARG002 -- as above
        if progress.step == self._stop_after:
            os.kill(os.getpid(), signal.SIGTERM)


Run = Callable[..., tuple[RunResult, Watching]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A function that runs a job on word problems, up to a step or to its end."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    rows = tmp_path / "problems.jsonl"
    rows.write_text("".join(PROBLEMS.read_text().splitlines(keepends=True)[:60]))

    def call(uid: str, *, examples: int = 2, stop_after: int = 0, **blocks: Any) -> tuple[RunResult, Watching]:
        spec: dict[str, Any] = {
            "task": "CausalLM",
            "model": {"uri": (ROOT / "tests/models/stories260k").as_uri()},
            "data": {
                "train": [{"uri": rows.as_uri()}],
                "columns": {"prompt": "question", "completion": "answer"},
                "maxLength": 128,
            },
            "method": {"type": "LoRA"},
            "training": {"maxSteps": 4, "batchSize": 8, "learningRate": 0.002},
            "evaluation": {"fewShot": {"examples": examples}, "generation": {"maxNewTokens": 6}, "evalSteps": 2},
            "output": {"uri": f"file://{tmp_path}/out"},
        }
        spec |= {name: {**spec[name], **fields} for name, fields in blocks.items()}
        manifest = {"apiVersion": "finetune.dev/v1alpha1", "kind": "FineTuneJob", "metadata": {"name": "job"}}
        (tmp_path / "job.yaml").write_text(yaml.safe_dump({**manifest, "spec": spec}))
        loaded, observer = load_job(str(tmp_path / "job.yaml"), []), Watching(stop_after)
        with stop_signals() as stop:
            return run_job(loaded.job, Site(Path(loaded.base)), uid, observer, stop=stop), observer

    return call


def weights(tmp_path: Path, uid: str) -> bytes:
    return (tmp_path / "out/job" / uid / "model/adapter_model.safetensors").read_bytes()


@pytest.mark.slow
def test_three_models_side_by_side_and_a_tuned_one_as_without(run: Run, tmp_path: Path) -> None:
    with_examples, observer = run("with")
    without, _ = run("without", examples=0)
    found = with_examples.report.evaluation
    assert set(found.few_shot) == set(found.baseline) == set(found.metrics)
    assert found.few_shot["evalLoss"] != found.baseline["evalLoss"]
    assert (found.metrics, found.baseline) == (without.report.evaluation.metrics, without.report.evaluation.baseline)
    assert weights(tmp_path, "with") == weights(tmp_path, "without")
    assert without.report.evaluation.few_shot == {}
    assert "evalLoss" in found.remark
    assert "2 examples in the prompt" in found.remark
    details = with_examples.report.details
    assert details is not None
    assert details.few_shot is not None
    assert details.few_shot.wanted == 2
    (noted,) = [line for line in observer.lines if "no room for 2 examples" in line] or [""]
    assert bool(noted) == bool(details.few_shot.fewer)
    page = (tmp_path / "out/job/with/report/index.html").read_text()
    assert "With 2 examples" in page
    assert "With 2 examples" not in (tmp_path / "out/job/without/report/index.html").read_text()
    assert "With examples" in (tmp_path / "out/job/with/README.md").read_text()


@pytest.mark.slow
@pytest.mark.causes("Stopped")
def test_who_goes_on_has_the_figures_and_does_not_ask_again(run: Run, tmp_path: Path) -> None:
    whole, _ = run("whole")
    stopped, first = run("stopped", stop_after=3)
    assert stopped.failure is not None
    assert stopped.failure.code == "Stopped"
    ended, second = run("stopped")
    assert ended.failure is None
    assert (first.worked.count("examples"), second.worked.count("examples")) == (1, 0)
    assert ended.report.evaluation == whole.report.evaluation
    assert ended.report.details == whole.report.details
    assert weights(tmp_path, "stopped") == weights(tmp_path, "whole")


@pytest.mark.causes("SpecInvalid")
def test_raw_text_has_no_examples(run: Run) -> None:
    ended, _ = run("raw", data={"columns": {"text": "question"}})
    assert isinstance(ended.failure, SpecInvalid)
    assert "raw text has no answers to show as examples" in str(ended.failure)


@pytest.mark.slow
def test_a_model_that_became_worse_is_told_of(run: Run, tmp_path: Path) -> None:
    training = {"learningRate": 1.0, "maxSteps": 6, "lrSchedulerType": "Constant", "earlyStopping": {"patience": 0}}
    ended, observer = run(
        "worse", examples=0, training=training, data={"split": {"validation": 0}}, evaluation={"evalSteps": 0}
    )
    assert ended.failure is None
    found = ended.report.evaluation
    assert found.metrics["evalLoss"] > found.baseline["evalLoss"] * 1.1, "nothing chose an earlier state"
    assert found.remark.startswith("the tuned model is worse than the one it started from: evalLoss")
    assert "{metric: evalLoss, maxRegression: 0}" in found.remark
    assert found.remark in observer.warnings
    assert "worse than the one it started from" in (tmp_path / "out/job/worse/report/index.html").read_text()
    assert "The tuned model is worse than the one it started from" in (tmp_path / "out/job/worse/README.md").read_text()
