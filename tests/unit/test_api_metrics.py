"""Metrics by name: direction, range, suggestions."""

import math

import pytest

from finetune_api.metrics import CATALOGUE, PER_CLASS, Direction, Metric, find_metric, suggest_metric
from finetune_api.tasks import BUILT, ProblemType, Task

TASK = Task.SEQUENCE_CLASSIFICATION
METRICS = [metric for metrics in CATALOGUE.values() for metric in metrics.values()]


def test_every_built_task_has_metrics_and_the_default_one() -> None:
    assert set(CATALOGUE) == set(BUILT)
    assert all("evalLoss" in metrics for metrics in CATALOGUE.values())


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_is_described(metric: Metric) -> None:
    assert metric.meaning
    assert ProblemType.AUTO not in metric.problems
    assert metric.low < metric.high
    best = metric.high if metric.direction is Direction.HIGHER else metric.low
    boundless = "argin" in metric.name or metric in CATALOGUE[Task.POLICY_OPTIMIZATION].values()
    assert math.isfinite(best) or boundless, "the better end is known, but of margins and rewards"


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_errors_and_losses_are_better_when_lower(metric: Metric) -> None:
    lower = any(word in metric.name for word in ("Loss", "Error", "brier", "perplexity", "bits", "kl"))
    assert (metric.direction is Direction.LOWER) == lower


@pytest.mark.parametrize("problem", [p for p in ProblemType if p is not ProblemType.AUTO])
def test_every_kind_of_classification_has_metrics(problem: ProblemType) -> None:
    assert len([metric for metric in CATALOGUE[TASK].values() if problem in metric.problems]) >= 5


def test_better_goes_by_the_direction() -> None:
    accuracy, loss = CATALOGUE[TASK]["accuracy"], CATALOGUE[TASK]["evalLoss"]
    assert accuracy.better(0.9, than=0.8) == pytest.approx(0.1)
    assert accuracy.better(0.7, than=0.8) == pytest.approx(-0.1)
    assert loss.better(0.3, than=0.5) == pytest.approx(0.2)
    assert loss.better(0.6, than=0.5) == pytest.approx(-0.1)


@pytest.mark.parametrize("head", PER_CLASS)
def test_metrics_of_one_class(head: str) -> None:
    metric = find_metric(TASK, f"{head}.Billing & refunds, v2.0")
    assert metric is not None
    assert metric.name == f"{head}.Billing & refunds, v2.0"
    assert metric.direction is Direction.HIGHER
    assert ProblemType.REGRESSION not in metric.problems


@pytest.mark.parametrize("name", ["", "recall", "recall.", "accuracy.billing", "support.billing", "Accuracy", "bleu"])
def test_unknown_metrics(name: str) -> None:
    assert find_metric(TASK, name) is None


def test_tasks_without_metrics_know_none() -> None:
    assert find_metric(Task.CAUSAL_LM, "accuracy") is None
    assert find_metric(Task.CAUSAL_LM, "recall.a") is None


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("acuracy", "accuracy"), ("Accuracy", "accuracy"), ("f1_macro", "f1Macro"), ("f1", "f1Macro"),
        ("mcc", "matthews"),
        ("eval_loss", "evalLoss"), ("loss", "evalLoss"), ("rmse", "rootMeanSquaredError"), ("ROC-AUC", "rocAuc"),
        ("ece", "calibrationError"), ("balanced_accuracy", "balancedAccuracy"), ("recal.billing", "recall.billing"),
        ("Recall.billing", "recall.billing"), ("auprc.billing", "averagePrecision.billing"),
    ],
)  # fmt: skip
def test_suggestions(name: str, meant: str) -> None:
    words = suggest_metric(TASK, name)
    assert words.startswith("did you mean ")
    assert meant in words.removeprefix("did you mean ").partition("?")[0].split(" or ")
    assert find_metric(TASK, meant) is not None


def test_without_a_near_name_all_are_listed() -> None:
    assert "accuracy, balancedAccuracy" in suggest_metric(TASK, "zzz")
    assert (
        suggest_metric(TASK, "zzz.billing") == "metrics of one class: precision, recall, f1, rocAuc, averagePrecision"
    )
    assert suggest_metric(TASK, "auprc") == (
        "did you mean averagePrecision? Of the positive class alone: averagePrecision.<label>"
    )
    assert find_metric(Task.TOKEN_CLASSIFICATION, "averagePrecision.person") is None
