"""Metrics agree with scikit-learn and the catalogue, and are left out where they mean nothing."""

import warnings

import numpy as np
import pytest
import sklearn.metrics as reference
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from finetune_api.metrics import CATALOGUE, Direction
from finetune_api.tasks import ProblemType, Task
from finetune_trainer.evaluation.metrics import METRICS, compute_metrics, metric_value
from finetune_trainer.evaluation.scores import probabilities, row_losses

SINGLE, MULTI, REGRESSION = ProblemType.SINGLE_LABEL, ProblemType.MULTI_LABEL, ProblemType.REGRESSION
CATALOGUED = CATALOGUE[Task.SEQUENCE_CLASSIFICATION]
NAMES = ["billing", "delivery", "other"]
Rows = tuple[NDArray[np.float64], NDArray[np.int64]]


def single_rows(seed: int, rows: int = 60, labels: int = 3) -> Rows:
    random = np.random.default_rng(seed)
    targets = np.concatenate([np.arange(labels), random.integers(0, labels, rows - labels)])
    return random.normal(0, 1.5, (rows, labels)) + np.eye(labels)[targets], targets


def multi_rows(seed: int, rows: int = 60, labels: int = 3) -> Rows:
    random = np.random.default_rng(seed)
    targets = random.integers(0, 2, (rows, labels))
    targets[0], targets[1] = 0, 1
    return random.normal(0, 1.5, (rows, labels)) + targets - 0.5, targets


@pytest.mark.parametrize("problem", METRICS)
def test_code_and_catalogue_name_the_same_metrics(problem: ProblemType) -> None:
    assert set(METRICS[problem]) == {metric.name for metric in CATALOGUED.values() if problem in metric.problems}


@pytest.mark.parametrize("seed", range(5))
def test_single_label_agrees_with_scikit_learn(seed: int) -> None:
    logits, targets = single_rows(seed)
    guess, chances = logits.argmax(axis=1), probabilities(logits, SINGLE)
    ours = compute_metrics(logits, targets, SINGLE, NAMES)
    theirs = {
        "evalLoss": reference.log_loss(targets, chances),
        "accuracy": reference.accuracy_score(targets, guess),
        "balancedAccuracy": reference.balanced_accuracy_score(targets, guess),
        "f1Macro": reference.f1_score(targets, guess, average="macro"),
        "f1Micro": reference.f1_score(targets, guess, average="micro"),
        "f1Weighted": reference.f1_score(targets, guess, average="weighted"),
        "precisionMacro": reference.precision_score(targets, guess, average="macro", zero_division=0),
        "recallMacro": reference.recall_score(targets, guess, average="macro", zero_division=0),
        "matthews": reference.matthews_corrcoef(targets, guess),
        "rocAuc": reference.roc_auc_score(targets, chances, multi_class="ovr", average="macro"),
        "averagePrecision": reference.average_precision_score(targets, chances, average="macro"),
        "brier": reference.brier_score_loss(targets, chances),
    }
    assert {name: ours[name] for name in theirs} == pytest.approx(theirs, abs=1e-12)
    assert set(ours) - set(theirs) == {"calibrationError"}


@pytest.mark.parametrize("name", ["averagePrecision", "rocAuc"])
def test_ranking_metrics_of_one_class_are_those_of_a_binary_task(name: str) -> None:
    """Of a rare positive class, whose average precision the mean with the other class would flatter."""
    random = np.random.default_rng(4)
    targets = (np.arange(200) % 20 == 0).astype(int)
    logits = np.stack([np.zeros(200), random.normal(size=200) + targets], axis=1)
    theirs = {"averagePrecision": reference.average_precision_score, "rocAuc": reference.roc_auc_score}[name]
    positive, negative = theirs(targets, logits[:, 1]), theirs(1 - targets, -logits[:, 1])
    of_one = [metric_value(f"{name}.{label}", logits, targets, SINGLE, ["no", "yes"]) for label in ("yes", "no")]
    assert of_one == pytest.approx([positive, negative])
    assert metric_value(name, logits, targets, SINGLE, ["no", "yes"]) == pytest.approx((positive + negative) / 2)
    assert metric_value(f"{name}.maybe", logits, targets, SINGLE, ["no", "yes"]) is None


@pytest.mark.parametrize("seed", range(5))
def test_multi_label_agrees_with_scikit_learn(seed: int) -> None:
    logits, targets = multi_rows(seed)
    guess, chances = (logits > 0).astype(int), probabilities(logits, MULTI)
    ours = compute_metrics(logits, targets, MULTI, NAMES)
    theirs = {
        "evalLoss": np.mean([reference.log_loss(t, c, labels=[0, 1]) for t, c in zip(targets, chances, strict=True)]),
        "accuracy": reference.accuracy_score(targets, guess),
        "f1Macro": reference.f1_score(targets, guess, average="macro"),
        "f1Micro": reference.f1_score(targets, guess, average="micro"),
        "f1Weighted": reference.f1_score(targets, guess, average="weighted"),
        "precisionMacro": reference.precision_score(targets, guess, average="macro", zero_division=0),
        "recallMacro": reference.recall_score(targets, guess, average="macro", zero_division=0),
        "rocAuc": reference.roc_auc_score(targets, chances, average="macro"),
        "averagePrecision": reference.average_precision_score(targets, chances, average="macro"),
        "brier": np.mean((targets - chances) ** 2),
        "hammingLoss": reference.hamming_loss(targets, guess),
    }
    assert {name: ours[name] for name in theirs} == pytest.approx(theirs, abs=1e-12)


def test_regression_agrees_with_scikit_learn_and_scipy() -> None:
    random = np.random.default_rng(3)
    targets = random.normal(size=40)
    values = targets[:, None] + random.normal(0, 0.5, (40, 1))
    guess = values[:, 0]
    assert compute_metrics(values, targets, REGRESSION, ["score"]) == pytest.approx(
        {
            "evalLoss": reference.mean_squared_error(targets, guess),
            "meanSquaredError": reference.mean_squared_error(targets, guess),
            "rootMeanSquaredError": reference.root_mean_squared_error(targets, guess),
            "meanAbsoluteError": reference.mean_absolute_error(targets, guess),
            "r2": reference.r2_score(targets, guess),
            "pearson": stats.pearsonr(targets, guess).statistic,
            "spearman": stats.spearmanr(targets, guess).statistic,
        }
    )


def test_binary_brier_is_the_one_of_scikit_learn() -> None:
    logits, targets = single_rows(1, labels=2)
    expected = reference.brier_score_loss(targets, probabilities(logits, SINGLE)[:, 1])
    assert metric_value("brier", logits, targets, SINGLE, ["no", "yes"]) == pytest.approx(expected)


@pytest.mark.parametrize(("problem", "rows"), [(SINGLE, single_rows), (MULTI, multi_rows)])
def test_perfect_predictions_reach_the_best_of_every_range(problem: ProblemType, rows: object) -> None:
    assert callable(rows)
    _, targets = rows(2)
    indicators = np.eye(3)[targets] if problem is SINGLE else targets
    for name, value in compute_metrics(200.0 * indicators - 100, targets, problem, NAMES).items():
        metric = CATALOGUED[name]
        best = metric.high if metric.direction is Direction.HIGHER else metric.low
        assert value == pytest.approx(best, abs=1e-12), name


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), rows=st.integers(3, 80), coarse=st.booleans())
def test_order_of_rows_does_not_matter(seed: int, rows: int, coarse: bool) -> None:
    logits, targets = single_rows(seed, rows)
    logits = np.round(logits) if coarse else logits  # coarse logits tie, and ties must not depend on the order either
    order = np.random.default_rng(seed).permutation(rows)
    before = compute_metrics(logits, targets, SINGLE, NAMES)
    assert compute_metrics(logits[order], targets[order], SINGLE, NAMES) == pytest.approx(before, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), rows=st.integers(1, 30), labels=st.integers(2, 6))
def test_any_rows_give_finite_values_inside_their_ranges_without_warnings(seed: int, rows: int, labels: int) -> None:
    random = np.random.default_rng(seed)
    names = [f"label {number}" for number in range(labels)]
    logits = random.normal(size=(rows, labels)) * random.choice([0, 1, 1000])
    for problem, targets in (
        (SINGLE, random.integers(0, labels, rows)),
        (MULTI, random.integers(0, 2, (rows, labels))),
        (REGRESSION, random.normal(size=rows)),
    ):
        values = logits[:, :1] if problem is REGRESSION else logits
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = compute_metrics(values, targets, problem, names)
        for name, value in found.items():
            assert CATALOGUED[name].low - 1e-9 <= value <= CATALOGUED[name].high + 1e-9, name


def test_a_class_missing_in_the_rows_leaves_ranking_metrics_out() -> None:
    logits, targets = single_rows(4)
    seen = targets != 2
    found = compute_metrics(logits[seen], targets[seen], SINGLE, NAMES)
    assert "rocAuc" not in found
    assert "averagePrecision" not in found
    assert "f1Macro" in found


def test_constant_targets_leave_correlations_out() -> None:
    found = compute_metrics(np.array([[1.0], [2.0]]), np.array([3.0, 3.0]), REGRESSION, ["score"])
    assert set(found) == {"evalLoss", "meanSquaredError", "rootMeanSquaredError", "meanAbsoluteError"}


def test_one_row_constant_outputs_and_no_rows_are_no_trouble() -> None:
    assert compute_metrics(np.zeros((0, 3)), np.zeros(0, dtype=int), SINGLE, NAMES) == {}
    assert compute_metrics(np.zeros((1, 3)), np.array([0]), SINGLE, NAMES)["accuracy"] == 1
    assert "pearson" not in compute_metrics(np.ones((5, 1)), np.arange(5.0), REGRESSION, ["score"])


def test_logits_that_are_not_finite_give_no_metrics() -> None:
    logits, targets = single_rows(5)
    logits[3, 1] = np.nan
    assert compute_metrics(logits, targets, SINGLE, NAMES) == {}


def test_figures_of_one_class_come_when_asked_for() -> None:
    logits, targets = single_rows(6)
    guess = logits.argmax(axis=1)
    found = compute_metrics(logits, targets, SINGLE, NAMES, also=["recall.delivery", "recall.unknown"])
    assert found["recall.delivery"] == pytest.approx(np.mean(guess[targets == 1] == 1))
    assert "recall.unknown" not in found
    assert not any("." in name for name in compute_metrics(logits, targets, SINGLE, NAMES))


@pytest.mark.parametrize("part", ["precision", "recall", "f1"])
def test_a_label_with_a_dot_in_its_name_is_found(part: str) -> None:
    logits, targets = single_rows(6)
    assert metric_value(f"{part}.v1.2", logits, targets, SINGLE, ["a", "v1.2", "b"]) is not None


def test_a_class_that_does_not_occur_has_no_figures_and_an_unpredicted_one_has_zero() -> None:
    logits = np.array([[9.0, 0, 0], [9.0, 0, 0]])
    targets = np.array([0, 1])
    assert metric_value("recall.other", logits, targets, SINGLE, NAMES) is None
    assert metric_value("precision.delivery", logits, targets, SINGLE, NAMES) == 0


def test_evaluation_loss_is_the_mean_of_the_row_losses() -> None:
    logits, targets = multi_rows(8)
    expected = row_losses(logits, targets, MULTI).mean()
    assert metric_value("evalLoss", logits, targets, MULTI, NAMES) == pytest.approx(expected)
