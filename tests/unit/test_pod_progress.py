"""What a run tells becomes the progress and the metrics that a pod serves."""

import math
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from finetune_api.data_report import DataReport, SplitReport
from finetune_api.live import LIVE_BYTES, Live
from finetune_api.outcome import EvaluationResult, Progress
from finetune_api.report import Parameters
from finetune_api.resolved import Resolved
from finetune_api.run_file import RunFile
from finetune_api.status import Phase
from finetune_trainer.observer import TrainingTotals
from finetune_trainer.observers import Observers
from finetune_trainer.pod.metrics import Exposition
from finetune_trainer.pod.progress import RunProgress, data_sentence

ORDER = RunFile.model_validate(
    {
        "job": {"name": "tickets", "namespace": "team-a", "uid": "uid-1"},
        "spec": {
            "task": "SequenceClassification",
            "model": {"uri": 'hf://owner/na"me'},
            "data": {"train": [{"uri": "s3://b/x.csv"}]},
            "evaluation": {"metric": "accuracy"},
            "output": {"uri": "s3://b/out"},
        },
    }
)
PROGRESS = Progress(step=3, total_steps=10, epoch=0.5, percent=30, loss=1.25, learning_rate=1e-4, samples_per_second=8)
Sample = tuple[str, frozenset[tuple[str, str]]]


@pytest.fixture
def board() -> RunProgress:
    return RunProgress(ORDER)


def report(rows: dict[str, int], **more: Any) -> DataReport:
    splits = {name: SplitReport.model_construct(rows=count) for name, count in rows.items()}
    return DataReport.model_construct(
        **{"splits": splits, "bad_rows": 0, "duplicates_dropped": 0, "warnings": [], **more}
    )


def series(board: RunProgress) -> dict[Sample, float]:
    """Samples by name and labels, as Prometheus parses them; labels of the job are checked and left out."""
    found = {}
    for family in text_string_to_metric_families(Exposition(ORDER, board).text().decode()):
        for sample in family.samples:
            labels = dict(sample.labels)
            assert (labels.pop("namespace"), labels.pop("name")) == ("team-a", "tickets")
            found[sample.name, frozenset(labels.items())] = sample.value
    return found


def value(board: RunProgress, name: str, **labels: str) -> float:
    return series(board)[name, frozenset(labels.items())]


def test_a_run_from_its_beginning_to_its_end(board: RunProgress) -> None:
    assert board.live == Live(uid="uid-1", phase=Phase.STARTING)
    board.phase("Validating")
    board.claimed(3)
    board.data_ready(report({"train": 9}, warnings=["odd"]))
    board.model_ready(
        Parameters(total=2, trainable=1), Resolved(epochs=1, learning_rate=1, batch_size=1, max_length=8), {}
    )
    board.phase("Training")
    board.trained(PROGRESS, TrainingTotals(samples=24, tokens=240, gradient_norm=0.5))
    board.evaluated(3, {"accuracy": 0.75, "evalLoss": 0.5}, True)
    board.trained(PROGRESS.model_copy(update={"step": 4}), TrainingTotals(samples=32, tokens=320, gradient_norm=0.25))
    board.evaluated(4, {"accuracy": 0.5}, False)
    board.phase("Evaluating")
    board.measured(EvaluationResult(metrics={"accuracy": 0.625}), "test")
    live = Live.model_validate_json(board.live.model_dump_json(by_alias=True))
    assert (live.uid, live.attempt, live.phase, live.data) == ("uid-1", 3, Phase.EVALUATING, "9 train rows")
    assert (live.progress and live.progress.step, live.warnings) == (4, ["odd"])
    assert live.measured is not None
    assert (live.measured.step, live.measured.metrics) == (4, {"accuracy": 0.5})
    assert live.best is not None
    assert (live.best.step, live.best.metric, live.best.value) == (3, "accuracy", 0.75)
    assert live.evaluation == EvaluationResult(metrics={"accuracy": 0.625})


def test_nothing_is_claimed_before_it_is_known(board: RunProgress) -> None:
    names = {name for name, _ in series(board)}
    assert names == {"finetune_job_info", "finetune_phase", "finetune_tokens_total", "finetune_samples_total"}
    info = next(dict(labels) for name, labels in series(board) if name == "finetune_job_info")
    assert info == {"uid": "uid-1", "task": "SequenceClassification", "method": "LoRA", "model": 'hf://owner/na"me'}


def test_metrics_have_the_names_and_numbers_that_dashboards_expect(board: RunProgress) -> None:
    board.phase("Training")
    board.trained(PROGRESS, TrainingTotals(samples=24, tokens=240, gradient_norm=0.5))
    board.evaluated(3, {"accuracy": 0.75, 'recall.say "hi"\n': 0.25}, True)
    board.measured(EvaluationResult(metrics={"accuracy": 0.625}), "test")
    expected = {
        "finetune_train_loss": 1.25,
        "finetune_learning_rate": 1e-4,
        "finetune_gradient_norm": 0.5,
        "finetune_step": 3,
        "finetune_total_steps": 10,
        "finetune_epoch": 0.5,
        "finetune_samples_total": 24,
        "finetune_tokens_total": 240,
        "finetune_samples_per_second": 8,
    }
    assert {name: value(board, name) for name in expected} == expected
    assert ("finetune_tokens_per_second", frozenset()) not in series(board)
    assert value(board, "finetune_eval_metric", metric="accuracy", split="validation") == 0.75
    assert value(board, "finetune_eval_metric", metric='recall.say "hi"\n', split="validation") == 0.25
    assert value(board, "finetune_eval_metric", metric="accuracy", split="test") == 0.625
    phases = {
        dict(labels)["phase"]: is_now for (name, labels), is_now in series(board).items() if name == "finetune_phase"
    }
    assert phases == {"Validating": 0, "Starting": 0, "Training": 1, "Evaluating": 0, "Exporting": 0}


def test_a_norm_that_a_scaler_lets_pass_can_be_plotted(board: RunProgress) -> None:
    board.trained(PROGRESS, TrainingTotals(gradient_norm=math.inf))
    assert value(board, "finetune_gradient_norm") == math.inf


def test_further_figures_of_a_loss_have_a_series_each(board: RunProgress) -> None:
    board.trained(PROGRESS, TrainingTotals(figures={"meanReward": 0.75, "kl": 0.5}))
    assert value(board, "finetune_train_metric", metric="meanReward") == 0.75
    assert value(board, "finetune_train_metric", metric="kl") == 0.5


def test_what_is_worked_at_comes_and_goes(board: RunProgress) -> None:
    with board.working("tokenising", 50) as advance:
        assert board.live.doing == "tokenising"
        advance(20)
        advance(1)
        assert board.live.doing == "tokenising 42%"
    assert board.live.doing == ""
    with board.working("publishing", 0) as advance:
        advance(0)
    assert board.live.doing == ""


def test_the_answer_stays_inside_its_bounds(board: RunProgress) -> None:
    """What is longer would be refused by who reads it, and all of it lost."""
    for _ in range(100):
        board.warned("é" * 5000)
    many = {f"recall.{'x' * 200}{number}": 0.5 for number in range(500)}
    board.evaluated(1, many, True)
    board.phase("Dancing")
    text = board.live.model_dump_json(by_alias=True)
    assert len(text.encode()) <= LIVE_BYTES
    assert Live.model_validate_json(text) == board.live


@pytest.mark.parametrize(
    ("rows", "counts", "sentence"),
    [
        ({"train": 451, "test": 50}, {"bad_rows": 2}, "451 train and 50 test rows; 2 invalid examples skipped"),
        ({"train": 1451}, {"duplicates_dropped": 3}, "1,451 train rows; 3 duplicates dropped"),
        ({"train": 3, "validation": 2, "test": 1}, {}, "3 train, 2 validation and 1 test rows"),
        ({}, {}, "no rows"),
    ],
)
def test_the_data_in_a_sentence(rows: dict[str, int], counts: dict[str, int], sentence: str) -> None:
    assert data_sentence(report(rows, **counts)) == sentence


class Recorder:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.told.append((name, arguments))


def test_several_observers_hear_the_same() -> None:
    first, second = RunProgress(ORDER), Recorder()
    both = Observers(first, second)  # type: ignore[arg-type]  # it answers to all names
    both.claimed(2)
    both.trained(PROGRESS, TrainingTotals())
    both.measured(EvaluationResult(), "test")
    assert [name for name, _ in second.told] == ["claimed", "trained", "measured"]
    assert (first.live.attempt, first.live.progress) == (2, PROGRESS)
    with Observers(first, RunProgress(ORDER)).working("x", 4) as advance:
        advance(2)
        assert first.live.doing == "x 50%"
