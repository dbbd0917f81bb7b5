"""Expected calibration error and reliability bins.

The error is the mean gap between confidence and accuracy over bins (Guo et al. 2017, arXiv:1706.04599), with bins
of equal mass (Nixon et al. 2019, arXiv:1904.01685): bins of equal width leave most of them nearly empty for a model
that is mostly sure. Rows of equal confidence share a bin, so the order of rows changes nothing.
"""

import numpy as np

from finetune_api.details import ReliabilityBin
from finetune_api.tasks import ProblemType
from finetune_trainer.evaluation.scores import Array, Floats, Scored

BINS = 15


def decisions(scored: Scored) -> tuple[Floats, Array]:
    """Confidence and correctness per decision, flat: one per row (SingleLabel) or per row and label (MultiLabel)."""
    chances = scored.probabilities
    if scored.problem is ProblemType.MULTI_LABEL:
        return np.maximum(chances, 1 - chances).ravel(), (scored.predictions == scored.truth).ravel()
    return chances.max(axis=1), scored.predictions == scored.truth


def reliability(confidence: Floats, right: Array, bins: int = BINS) -> list[ReliabilityBin]:
    """At most `bins` bins of about equal mass, by rising confidence. Both inputs are [n]; no rows give no bins."""
    if not len(confidence):
        return []
    cuts = np.sort(confidence)[[len(confidence) * i // bins for i in range(1, bins)]]
    bin_of = np.searchsorted(np.unique(cuts), confidence, side="right")
    inside = [bin_of == number for number in np.unique(bin_of)]
    return [
        ReliabilityBin(
            confidence=float(confidence[rows].mean()), accuracy=float(right[rows].mean()), rows=int(rows.sum())
        )
        for rows in inside
    ]


def expected_calibration_error(confidence: Floats, right: Array, bins: int = BINS) -> float:
    """Mean of |accuracy - confidence| over the bins, weighted by their rows; in [0, 1]. Needs at least one row."""
    gaps = [(abs(b.accuracy - b.confidence), b.rows) for b in reliability(confidence, right, bins)]
    return sum(gap * rows for gap, rows in gaps) / len(confidence)
