"""Metrics by name: what they mean, which way is better, and where they apply."""

from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum

from finetune_api.tasks import ProblemType, Task


class Direction(StrEnum):
    """Which way is better."""

    HIGHER = "Higher"
    LOWER = "Lower"


@dataclass(frozen=True)
class Metric:
    """A metric of the catalogue."""

    name: str
    direction: Direction
    meaning: str
    problems: frozenset[ProblemType]

    def better(self, value: float, than: float) -> float:
        """By how much `value` is better than `than`; negative where it is worse."""
        return value - than if self.direction is Direction.HIGHER else than - value


_SINGLE, _MULTI, _REGRESSION = ProblemType.SINGLE_LABEL, ProblemType.MULTI_LABEL, ProblemType.REGRESSION
_HIGHER, _LOWER = Direction.HIGHER, Direction.LOWER

_CLASSIFICATION = (
    Metric("evalLoss", _LOWER, "the loss that training minimises, without label smoothing and class weights",
           frozenset({_SINGLE, _MULTI, _REGRESSION})),
    Metric("accuracy", _HIGHER, "share of rows that are all right", frozenset({_SINGLE, _MULTI})),
    Metric("balancedAccuracy", _HIGHER, "mean recall of the classes", frozenset({_SINGLE})),
    Metric("f1Macro", _HIGHER, "mean F1 of the classes", frozenset({_SINGLE, _MULTI})),
    Metric("f1Micro", _HIGHER, "F1 over all decisions", frozenset({_SINGLE, _MULTI})),
    Metric("f1Weighted", _HIGHER, "mean F1 of the classes, weighted by their rows", frozenset({_SINGLE, _MULTI})),
    Metric("precisionMacro", _HIGHER, "mean precision of the classes", frozenset({_SINGLE, _MULTI})),
    Metric("recallMacro", _HIGHER, "mean recall of the classes", frozenset({_SINGLE, _MULTI})),
    Metric("matthews", _HIGHER, "Matthews correlation coefficient", frozenset({_SINGLE})),
    Metric("rocAuc", _HIGHER, "area under the ROC curve (one against the rest, mean of classes)",
           frozenset({_SINGLE, _MULTI})),
    Metric("averagePrecision", _HIGHER, "area under the precision-recall curve, mean of classes",
           frozenset({_SINGLE, _MULTI})),
    Metric("brier", _LOWER, "mean squared error of the probabilities", frozenset({_SINGLE, _MULTI})),
    Metric("calibrationError", _LOWER, "expected calibration error, 15 bins of equal mass",
           frozenset({_SINGLE, _MULTI})),
    Metric("hammingLoss", _LOWER, "share of single label decisions that are wrong", frozenset({_MULTI})),
    Metric("meanSquaredError", _LOWER, "mean squared error", frozenset({_REGRESSION})),
    Metric("rootMeanSquaredError", _LOWER, "root of the mean squared error", frozenset({_REGRESSION})),
    Metric("meanAbsoluteError", _LOWER, "mean absolute error", frozenset({_REGRESSION})),
    Metric("r2", _HIGHER, "share of variance explained", frozenset({_REGRESSION})),
    Metric("pearson", _HIGHER, "Pearson correlation", frozenset({_REGRESSION})),
    Metric("spearman", _HIGHER, "Spearman rank correlation", frozenset({_REGRESSION})),
)

CATALOGUE: dict[Task, dict[str, Metric]] = {
    Task.SEQUENCE_CLASSIFICATION: {metric.name: metric for metric in _CLASSIFICATION},
}
PER_CLASS = ("precision", "recall", "f1")
"""Metrics of one class, named `recall.<label>`."""


def find_metric(task: Task, name: str) -> Metric | None:
    """Return the metric of that name, also for `recall.<label>`, or None."""
    head, dot, _label = name.partition(".")
    if dot and head in PER_CLASS:
        return Metric(name, _HIGHER, f"{head} of one class", frozenset({_SINGLE, _MULTI}))
    return CATALOGUE.get(task, {}).get(name)


def suggest_metric(task: Task, name: str) -> str:
    """Return words that help with an unknown name: near names, else all names."""
    names = list(CATALOGUE.get(task, {}))
    near = get_close_matches(name, names, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else f"known metrics: {', '.join(names)}"
