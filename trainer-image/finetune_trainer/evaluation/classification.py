"""Metrics of classification. Each takes scored rows and returns None where it is not defined.

Means over classes leave out classes that occur neither in the targets nor in the predictions, as scikit-learn does:
a test split without a rare class says nothing about that class. Divisions by zero count as 0.
"""

from collections.abc import Callable

import numpy as np
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    hamming_loss,
    matthews_corrcoef,
    precision_recall_fscore_support,
    roc_auc_score,
)

from finetune_api.details import ClassRow
from finetune_api.tasks import ProblemType
from finetune_trainer.evaluation.calibration import decisions, expected_calibration_error
from finetune_trainer.evaluation.scores import Array, Scored

MetricFunction = Callable[[Scored], float | None]
_PART = {"precision": 0, "recall": 1, "f1": 2}


def _occurring(scored: Scored) -> Array:
    """Ids of the labels that occur in targets or predictions."""
    if scored.problem is ProblemType.MULTI_LABEL:
        return np.flatnonzero((scored.truth + scored.predictions).any(axis=0))
    return np.union1d(scored.truth, scored.predictions)


def _averaged(part: str, average: str) -> MetricFunction:
    def metric(scored: Scored) -> float | None:
        labels = _occurring(scored)
        if not len(labels):
            return None
        figures = precision_recall_fscore_support(
            scored.truth, scored.predictions, labels=labels, average=average, zero_division=0
        )
        return float(figures[_PART[part]])

    return metric


def _over_classes(score: Callable[[Array, Array], float]) -> MetricFunction:
    """Mean of a ranking score over classes, each against the rest; needs rows inside and outside every class."""

    def metric(scored: Scored) -> float | None:
        scores = list[float]()
        for number in range(len(scored.names)):
            value = _against_the_rest(score, scored, number)
            if value is None:
                return None
            scores.append(value)
        return float(np.mean(scores))

    return metric


def _against_the_rest(score: Callable[[Array, Array], float], scored: Scored, number: int) -> float | None:
    """A ranking score of one class against the rest; None unless there are rows inside and outside of it."""
    inside = scored.indicators[:, number]
    if not inside.any() or inside.all():
        return None
    return float(score(inside, scored.probabilities[:, number]))


def _balanced_accuracy(scored: Scored) -> float:
    known = np.unique(scored.truth)
    return float(np.mean([np.mean(scored.predictions[scored.truth == label] == label) for label in known]))


def _brier(scored: Scored) -> float:
    """Sum over classes for three and more, in [0, 2], as in Brier 1950; the mean for two classes and for labels."""
    squares = np.square(scored.probabilities - scored.indicators)
    two = scored.problem is ProblemType.SINGLE_LABEL and squares.shape[1] == 2
    if scored.problem is ProblemType.MULTI_LABEL or two:
        return float(squares.mean())
    return float(squares.sum(axis=1).mean())


_RANKED: dict[str, Callable[[Array, Array], float]] = {
    "rocAuc": roc_auc_score,
    "averagePrecision": average_precision_score,
}
COMMON: dict[str, MetricFunction] = {
    "accuracy": lambda scored: float(accuracy_score(scored.truth, scored.predictions)),
    "f1Macro": _averaged("f1", "macro"),
    "f1Micro": _averaged("f1", "micro"),
    "f1Weighted": _averaged("f1", "weighted"),
    "precisionMacro": _averaged("precision", "macro"),
    "recallMacro": _averaged("recall", "macro"),
    **{name: _over_classes(score) for name, score in _RANKED.items()},
    "brier": _brier,
    "calibrationError": lambda scored: expected_calibration_error(*decisions(scored)),
}
SINGLE_LABEL: dict[str, MetricFunction] = COMMON | {
    "balancedAccuracy": _balanced_accuracy,
    "matthews": lambda scored: float(matthews_corrcoef(scored.truth, scored.predictions)),
}
MULTI_LABEL: dict[str, MetricFunction] = COMMON | {
    "hammingLoss": lambda scored: float(hamming_loss(scored.truth, scored.predictions)),
}


def class_rows(scored: Scored) -> list[ClassRow]:
    """Precision, recall, F1 and number of rows of every label, in the order of their numbers."""
    precision, recall, f1, support = precision_recall_fscore_support(
        scored.truth, scored.predictions, labels=np.arange(len(scored.names)), average=None, zero_division=0
    )
    return [
        ClassRow(label=name, precision=float(p), recall=float(r), f1=float(f), support=int(s))
        for name, p, r, f, s in zip(scored.names, precision, recall, f1, support, strict=True)
    ]


def class_metric(part: str, label: str, scored: Scored) -> float | None:
    """The metric `part` of one label; None for a label that is unknown or does not occur."""
    if part in _RANKED:
        names = list(scored.names)
        return _against_the_rest(_RANKED[part], scored, names.index(label)) if label in names else None
    if label not in scored.names or list(scored.names).index(label) not in _occurring(scored):
        return None
    row = next(row for row in class_rows(scored) if row.label == label)
    return {"precision": row.precision, "recall": row.recall, "f1": row.f1}[part]
