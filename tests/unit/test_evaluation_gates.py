"""Gates: every limit, both directions, missing figures."""

import pytest

from finetune_api.evaluation import Gate
from finetune_trainer.evaluation.gates import check_gates

TUNED = {"accuracy": 0.9, "evalLoss": 0.3, "recall.billing": 0.75}
BASE = {"accuracy": 0.8, "evalLoss": 0.2, "recall.billing": 0.5}


def passes(**gate: float | str) -> bool:
    return check_gates([Gate.model_validate(gate)], TUNED, BASE)[0].passed


@pytest.mark.parametrize(
    ("limit", "passed"),
    [
        ({"min": 0.9}, True),
        ({"min": 0.91}, False),
        ({"max": 0.9}, True),
        ({"max": 0.89}, False),
        ({"minImprovement": 0.1}, True),  # 0.9 - 0.8 is below 0.1 in binary
        ({"minImprovement": 0.11}, False),
        ({"maxRegression": 0}, True),
        ({"min": 0.5, "minImprovement": 0.2}, False),
    ],
)
def test_limits_on_a_metric_that_should_be_high(limit: dict[str, float], passed: bool) -> None:
    assert passes(metric="accuracy", **limit) is passed


@pytest.mark.parametrize(
    ("limit", "passed"),
    [
        ({"max": 0.3}, True),
        ({"maxRegression": 0.1}, True),
        ({"maxRegression": 0.09}, False),
        ({"minImprovement": 0}, False),
    ],
)
def test_a_higher_loss_is_a_regression(limit: dict[str, float], passed: bool) -> None:
    assert passes(metric="evalLoss", **limit) is passed


def test_gates_on_one_class() -> None:
    assert passes(metric="recall.billing", min=0.7, minImprovement=0.25)


def test_results_tell_value_baseline_and_limit_in_words() -> None:
    gate = Gate(metric="accuracy", min=0.8, max_regression=0.05)
    result = check_gates([gate], TUNED, BASE)[0]
    assert (result.value, result.baseline, result.limit) == (0.9, 0.8, "min 0.8, max regression 0.05")


def test_a_metric_that_could_not_be_computed_fails_its_gate() -> None:
    result = check_gates([Gate(metric="rocAuc", min=0)], TUNED, BASE)[0]
    assert result.value is None
    assert not result.passed


def test_a_missing_baseline_fails_only_the_limits_that_need_it() -> None:
    absolute, relative = Gate(metric="accuracy", min=0.5), Gate(metric="accuracy", max_regression=1)
    assert [result.passed for result in check_gates([absolute, relative], TUNED, {})] == [True, False]
