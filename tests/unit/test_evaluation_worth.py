"""Whether tuning was worth it, in words."""

from typing import Any

import pytest

from finetune_api.job import Spec
from finetune_api.outcome import EvaluationResult
from finetune_trainer.evaluation.worth import Worth, judge_worth


def spec(examples: int = 0, **evaluation: Any) -> Spec:
    return Spec.model_validate(
        {
            "task": "Seq2Seq",
            "model": {"uri": "file:///m"},
            "data": {"train": [{"uri": "file:///rows.jsonl"}]},
            "evaluation": {"fewShot": {"examples": examples}, **evaluation},
            "output": {"uri": "file:///o"},
        }
    )


def judged(tuned: float, untouched: float, shown: float | None = None, metric: str = "evalLoss") -> Worth | None:
    found = EvaluationResult(
        metrics={metric: tuned}, baseline={metric: untouched}, few_shot={metric: shown} if shown is not None else {}
    )
    return judge_worth(spec(4 if shown is not None else 0, metric=metric), found, "test")


def test_a_worse_model_is_named_with_the_gate_that_refuses_it() -> None:
    assert judged(2.5, 2.25) == Worth(
        "the tuned model is worse than the one it started from: evalLoss 2.25 -> 2.5 on test rows; gates can refuse "
        "this: evaluation.gates: [{metric: evalLoss, maxRegression: 0}]",
        is_good=False,
    )


@pytest.mark.parametrize(
    ("tuned", "untouched", "metric"), [(2, 2.25, "evalLoss"), (2, 2, "evalLoss"), (0.5, 0.4, "f1")]
)
def test_of_what_is_no_worse_nothing_is_said(tuned: float, untouched: float, metric: str) -> None:
    assert judged(tuned, untouched, metric=metric) is None


def test_higher_may_be_better() -> None:
    found = judged(0.25, 0.5, metric="exactMatch")
    assert found is not None
    assert "exactMatch 0.5 -> 0.25" in found.remark


def test_a_difference_that_nobody_is_shown_is_none() -> None:
    assert judged(2.00000001, 2) is None


@pytest.mark.parametrize(
    ("tuned", "shown", "untouched", "remark", "is_good"),
    [
        (
            1.5, 1.75, 2,
            ("the tuned model is best: evalLoss 1.5 on test rows, against 1.75 for 4 examples in the prompt and 2 for "
             "the untouched model"), True,
        ),
        (
            1.75, 1.5, 2,
            ("4 examples in the prompt are best, so tuning was not worth it: evalLoss 1.5 on test rows, against 1.75 "
             "for the tuned model and 2 for the untouched model"), False,
        ),
    ],
)  # fmt: skip
def test_the_best_of_three(tuned: float, shown: float, untouched: float, remark: str, is_good: bool) -> None:
    assert judged(tuned, untouched, shown) == Worth(remark, is_good)


def test_of_equal_ones_the_cheapest_is_best() -> None:
    found = judged(1.5, 1.5, 1.5)
    assert found is not None
    assert found.remark.startswith("the untouched model is best, so tuning was not worth it")


def test_other_figures_that_disagree_are_told() -> None:
    found = EvaluationResult(
        metrics={"evalLoss": 1, "rougeL": 0.25, "exactMatch": 0},
        few_shot={"evalLoss": 2, "rougeL": 0.75, "exactMatch": 0},
        baseline={"evalLoss": 3, "rougeL": 0.5, "exactMatch": 0},
    )
    worth = judge_worth(spec(1), found, "test")
    assert worth is not None
    assert worth.remark.endswith("; by rougeL, 1 example in the prompt is the best")
    assert worth.is_good


def test_without_figures_nothing_is_said() -> None:
    assert judge_worth(spec(), EvaluationResult(metrics={"evalLoss": 1}), "test") is None
    assert judge_worth(spec(), EvaluationResult(), "test") is None
