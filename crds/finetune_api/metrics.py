"""Metrics by name: what they mean, which way is better, and where they apply."""

from dataclasses import dataclass
from enum import StrEnum

from finetune_api.naming import near_names
from finetune_api.tasks import ProblemType, Task


class Direction(StrEnum):
    """Which way is better."""

    HIGHER = "Higher"
    LOWER = "Lower"


@dataclass(frozen=True)
class Metric:
    """A metric of the catalogue. `low` and `high` are the ends of its range."""

    name: str
    direction: Direction
    meaning: str
    problems: frozenset[ProblemType]
    low: float = 0
    high: float = 1

    def better(self, value: float, than: float) -> float:
        """By how much `value` is better than `than`; negative where it is worse."""
        return value - than if self.direction is Direction.HIGHER else than - value


_INFINITE = float("inf")
_SINGLE, _MULTI, _REGRESSION = ProblemType.SINGLE_LABEL, ProblemType.MULTI_LABEL, ProblemType.REGRESSION
_HIGHER, _LOWER = Direction.HIGHER, Direction.LOWER

_CLASSIFICATION = (
    Metric(
        "evalLoss",
        _LOWER,
        "the loss that training minimises, without label smoothing and class weights",
        frozenset({_SINGLE, _MULTI, _REGRESSION}),
        high=_INFINITE,
    ),
    Metric("accuracy", _HIGHER, "share of rows that are all right", frozenset({_SINGLE, _MULTI})),
    Metric("balancedAccuracy", _HIGHER, "mean recall of the classes", frozenset({_SINGLE})),
    Metric("f1Macro", _HIGHER, "mean F1 of the classes", frozenset({_SINGLE, _MULTI})),
    Metric("f1Micro", _HIGHER, "F1 over all decisions", frozenset({_SINGLE, _MULTI})),
    Metric("f1Weighted", _HIGHER, "mean F1 of the classes, weighted by their rows", frozenset({_SINGLE, _MULTI})),
    Metric("precisionMacro", _HIGHER, "mean precision of the classes", frozenset({_SINGLE, _MULTI})),
    Metric("recallMacro", _HIGHER, "mean recall of the classes", frozenset({_SINGLE, _MULTI})),
    Metric("matthews", _HIGHER, "Matthews correlation coefficient", frozenset({_SINGLE}), low=-1),
    Metric(
        "rocAuc",
        _HIGHER,
        "area under the ROC curve (one against the rest, mean of classes)",
        frozenset({_SINGLE, _MULTI}),
    ),
    Metric(
        "averagePrecision",
        _HIGHER,
        "area under the precision-recall curve, mean of classes",
        frozenset({_SINGLE, _MULTI}),
    ),
    Metric("brier", _LOWER, "mean squared error of the probabilities", frozenset({_SINGLE, _MULTI}), high=2),
    Metric(
        "calibrationError", _LOWER, "expected calibration error, 15 bins of equal mass", frozenset({_SINGLE, _MULTI})
    ),
    Metric("hammingLoss", _LOWER, "share of single label decisions that are wrong", frozenset({_MULTI})),
    Metric("meanSquaredError", _LOWER, "mean squared error", frozenset({_REGRESSION}), high=_INFINITE),
    Metric("rootMeanSquaredError", _LOWER, "root of the mean squared error", frozenset({_REGRESSION}), high=_INFINITE),
    Metric("meanAbsoluteError", _LOWER, "mean absolute error", frozenset({_REGRESSION}), high=_INFINITE),
    Metric("r2", _HIGHER, "share of variance explained", frozenset({_REGRESSION}), low=-_INFINITE),
    Metric("pearson", _HIGHER, "Pearson correlation", frozenset({_REGRESSION}), low=-1),
    Metric("spearman", _HIGHER, "Spearman rank correlation", frozenset({_REGRESSION}), low=-1),
)

CATALOGUE: dict[Task, dict[str, Metric]] = {
    Task.SEQUENCE_CLASSIFICATION: {metric.name: metric for metric in _CLASSIFICATION},
}
PER_CLASS = ("precision", "recall", "f1")
"""Metrics of one class, named `recall.<label>`."""


_ALIASES = {
    "loss": "evalLoss", "validation_loss": "evalLoss", "f1": "f1Macro", "mcc": "matthews", "auc": "rocAuc",
    "roc_auc_ovr": "rocAuc", "auprc": "averagePrecision", "precision": "precisionMacro", "recall": "recallMacro",
    "ece": "calibrationError", "mse": "meanSquaredError", "rmse": "rootMeanSquaredError", "mae": "meanAbsoluteError",
    "neg_log_loss": "evalLoss", "pearsonr": "pearson", "spearmanr": "spearman", "acc": "accuracy",
}  # fmt: skip
"""Names that other libraries use, for suggestions only."""


def find_metric(task: Task, name: str) -> Metric | None:
    """Return the metric of that name, also for `recall.<label>`, or None."""
    head, _dot, label = name.partition(".")
    if label and head in PER_CLASS and task in CATALOGUE:
        return Metric(name, _HIGHER, f"{head} of one class", frozenset({_SINGLE, _MULTI}))
    return CATALOGUE.get(task, {}).get(name)


def metric_named(task: Task, name: str) -> Metric:
    """The metric of that name. Raises `KeyError` where there is none; `semantic_problems` tells before."""
    metric = find_metric(task, name)
    if metric is None:
        raise KeyError(name)
    return metric


def suggest_metric(task: Task, name: str) -> str:
    """Return words that help with an unknown name: near names, else all names."""
    head, dot, label = name.partition(".")
    if dot:
        near = near_names(head, PER_CLASS, count=1)
        return f"did you mean {near[0]}.{label}?" if near else f"metrics of one class: {', '.join(PER_CLASS)}"
    names = list(CATALOGUE.get(task, {}))
    near = [_ALIASES.get(other, other) for other in near_names(name, [*names, *_ALIASES])]
    meant = [other for other in dict.fromkeys(near) if other in names]
    return f"did you mean {' or '.join(meant)}?" if meant else f"known metrics: {', '.join(names)}"
