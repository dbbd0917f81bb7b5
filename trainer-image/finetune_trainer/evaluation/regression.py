"""Metrics of regression. Each takes scored rows and returns None where it is not defined."""

from collections.abc import Callable

import numpy as np
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

from finetune_trainer.evaluation.scores import Array, Scored

MetricFunction = Callable[[Scored], float | None]


def _mean_squared_error(scored: Scored) -> float:
    return float(mean_squared_error(scored.truth, scored.predictions))


def _varies(values: Array) -> bool:
    """Whether there is a spread beyond rounding, so that a correlation means something."""
    return len(values) > 1 and bool(np.ptp(values) > 1e-12 * max(1.0, float(np.abs(values).max())))


def _r2(scored: Scored) -> float | None:
    return float(r2_score(scored.truth, scored.predictions)) if _varies(scored.truth) else None


def _correlation(measure: Callable[[Array, Array], tuple[float, float]]) -> MetricFunction:
    def metric(scored: Scored) -> float | None:
        if not (_varies(scored.truth) and _varies(scored.predictions)):
            return None
        return float(measure(scored.truth, scored.predictions)[0])

    return metric


REGRESSION: dict[str, MetricFunction] = {
    "meanSquaredError": _mean_squared_error,
    "rootMeanSquaredError": lambda scored: _mean_squared_error(scored) ** 0.5,
    "meanAbsoluteError": lambda scored: float(mean_absolute_error(scored.truth, scored.predictions)),
    "r2": _r2,
    "pearson": _correlation(pearsonr),
    "spearman": _correlation(spearmanr),
}
