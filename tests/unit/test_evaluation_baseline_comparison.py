"""Whether tuning was worth it, in words."""

from typing import Any

import pytest

from finetune_api.outcome import EvaluationResult
from finetune_api.spec import Spec
from finetune_trainer.evaluation.baseline_comparison import BaselineComparison, ConstantBaseline, compare_with_baselines


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


def judged(
    tuned: float, untouched: float, shown: float | None = None, metric: str = "evalLoss"
) -> BaselineComparison | None:
    found = EvaluationResult(
        metrics={metric: tuned}, baseline={metric: untouched}, few_shot={metric: shown} if shown is not None else {}
    )
    return compare_with_baselines(spec(4 if shown is not None else 0, metric=metric), found, "test")


def test_a_worse_model_is_named_with_the_gate_that_refuses_it() -> None:
    assert judged(2.5, 2.25) == BaselineComparison(
        "the tuned model is worse than the one it started from: evalLoss 2.25 -> 2.5 on test rows; gates can refuse "
        "this: evaluation.gates: [{metric: evalLoss, maxRegression: 0}]",
        is_good=False,
        has_learned=False,
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
             "the base model"), True,
        ),
        (
            1.75, 1.5, 2,
            ("4 examples in the prompt are best, so tuning did not pay off: evalLoss 1.5 on test rows, against 1.75 "
             "for the tuned model and 2 for the base model"), False,
        ),
    ],
)  # fmt: skip
def test_the_best_of_three(tuned: float, shown: float, untouched: float, remark: str, is_good: bool) -> None:
    assert judged(tuned, untouched, shown) == BaselineComparison(remark, is_good)


def test_of_equal_ones_the_cheapest_is_best() -> None:
    found = judged(1.5, 1.5, 1.5)
    assert found is not None
    assert found.remark.startswith("the base model is best, so tuning did not pay off")


def test_other_figures_that_disagree_are_told() -> None:
    found = EvaluationResult(
        metrics={"evalLoss": 1, "rougeL": 0.25, "exactMatch": 0},
        few_shot={"evalLoss": 2, "rougeL": 0.75, "exactMatch": 0},
        baseline={"evalLoss": 3, "rougeL": 0.5, "exactMatch": 0},
    )
    worth = compare_with_baselines(spec(1), found, "test")
    assert worth is not None
    assert worth.remark.endswith("; by rougeL, 1 example in the prompt is the best")
    assert worth.is_good


def test_without_figures_nothing_is_said() -> None:
    assert compare_with_baselines(spec(), EvaluationResult(metrics={"evalLoss": 1}), "test") is None
    assert compare_with_baselines(spec(), EvaluationResult(), "test") is None


def of_task(task: str, **evaluation: Any) -> Spec:
    whole = {"task": task, "model": {"uri": "file:///m"}, "output": {"uri": "file:///o"}}
    return Spec.model_validate(whole | {"data": {"train": [{"uri": "file:///r.jsonl"}]}, "evaluation": evaluation})


@pytest.mark.parametrize(
    ("task", "tuned", "trivial", "says"),
    [
        ("TokenClassification", {"evalLoss": 0.3, "f1": 0.0, "accuracy": 0.9}, {"f1": 0.0, "accuracy": 0.9}, "f1 0 "),
        ("SequenceClassification", {"accuracy": 0.7, "f1Macro": 0.41}, {"accuracy": 0.7, "f1Macro": 0.41}, "0.41"),
        ("SequenceClassification", {"evalLoss": 1.2, "r2": -0.1}, {"evalLoss": 1.1, "r2": 0.0}, "r2 -0.1 against 0"),
    ],
)  # fmt: skip
def test_a_model_no_better_than_an_answer_that_ignores_the_input(
    task: str, tuned: dict[str, float], trivial: dict[str, float], says: str
) -> None:
    """Its loss is better than that of its base model, whose head is new; that alone is no verdict."""
    found = EvaluationResult(metrics=tuned, baseline={"evalLoss": 2.0})
    worth = compare_with_baselines(of_task(task), found, "test", ConstantBaseline(trivial))
    assert worth is not None
    assert not worth.has_learned
    assert "is no better than the most frequent" in worth.remark
    assert says in worth.remark


def test_one_metric_above_it_is_enough() -> None:
    """The most frequent class of a skewed set has a high accuracy; a model that finds others is better by F1."""
    tuned, trivial = {"accuracy": 0.9, "f1Macro": 0.7}, {"accuracy": 0.92, "f1Macro": 0.48}
    found = EvaluationResult(metrics=tuned)
    assert compare_with_baselines(of_task("SequenceClassification"), found, "test", ConstantBaseline(trivial)) is None
    named = compare_with_baselines(
        of_task("SequenceClassification", metric="accuracy"), found, "test", ConstantBaseline(trivial)
    )
    assert named is not None
    assert named.remark == (
        "the tuned model is no better than the most frequent answer for every row: accuracy 0.9 against 0.92 on test "
        "rows"
    )


def test_a_better_loss_does_not_hide_worse_answers() -> None:
    found = EvaluationResult(metrics={"evalLoss": 0.2, "f1": 0.01}, baseline={"evalLoss": 0.9, "f1": 0.021})
    worth = compare_with_baselines(of_task("TokenClassification"), found, "test", ConstantBaseline({"f1": 0.0}))
    assert worth is not None
    assert worth.remark == (
        "the tuned model is worse than the one it started from, though evalLoss is better: f1 0.01 against 0.021 on "
        "test rows"
    )


def test_one_answer_for_all_rows_comes_first() -> None:
    worth = compare_with_baselines(
        of_task("Seq2Seq"), EvaluationResult(metrics={"evalLoss": 1.0}), "test", ConstantBaseline(constant="ok")
    )
    assert worth == BaselineComparison(
        "the tuned model has one answer for all test rows: ok", is_good=False, has_learned=False
    )
