"""Metrics by name. A metric that is undefined on the rows is left out, never NaN."""

import warnings
from collections.abc import Sequence

import numpy as np

from finetune_api.metrics import PER_CLASS
from finetune_api.tasks import ProblemType
from finetune_trainer.evaluation.classification import MULTI_LABEL, SINGLE_LABEL, MetricFunction, class_metric
from finetune_trainer.evaluation.regression import REGRESSION
from finetune_trainer.evaluation.scores import Array, Scored


def _loss(scored: Scored) -> float:
    return float(scored.losses.mean())


METRICS: dict[ProblemType, dict[str, MetricFunction]] = {
    ProblemType.SINGLE_LABEL: {"evalLoss": _loss} | SINGLE_LABEL,
    ProblemType.MULTI_LABEL: {"evalLoss": _loss} | MULTI_LABEL,
    ProblemType.REGRESSION: {"evalLoss": _loss} | REGRESSION,
}
"""All metrics of a problem but those of one class, such as `recall.billing`."""


def compute_metrics(
    logits: Array,
    targets: Array,
    problem: ProblemType,
    names: Sequence[str],
    also: Sequence[str] = (),
) -> dict[str, float]:
    """Compute every metric of `problem`, and the requested metrics of single classes.

    Args:
        logits: Model outputs; shapes are in `scores`. Outputs that are not finite give no metrics at all.
        targets: What they should have been.
        problem: Kind of classification.
        names: Names of the labels in the order of their numbers.
        also: Further names, for example of gates: `recall.billing`. Unknown ones are left out.
    """
    scored = Scored(logits, targets, problem, names)
    values = {name: _value(name, scored) for name in dict.fromkeys((*METRICS[problem], *also))}
    return {name: value for name, value in values.items() if value is not None}


def metric_value(name: str, logits: Array, targets: Array, problem: ProblemType, names: Sequence[str]) -> float | None:
    """Compute one metric, also of a single class; None where it is unknown or undefined on the rows."""
    return _value(name, Scored(logits, targets, problem, names))


def _value(name: str, scored: Scored) -> float | None:
    function = _function(name, scored.problem)
    if function is None or not scored.rows or not np.isfinite(scored.logits).all():
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn and scipy warn about what the return value says already
        value = function(scored)
    return value if value is not None and np.isfinite(value) else None


def _function(name: str, problem: ProblemType) -> MetricFunction | None:
    part, _dot, label = name.partition(".")
    if label and part in PER_CLASS and problem is not ProblemType.REGRESSION:
        return lambda scored: class_metric(part, label, scored)
    return METRICS[problem].get(name)
