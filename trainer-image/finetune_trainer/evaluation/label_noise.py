"""Labels that are probably wrong, by confident learning (Northcutt et al. 2021, arXiv:1911.00068).

A row is suspect where another class is likelier than that class is, on average, for the rows that bear its label. This
allows for a model that is surer of one class than of another. Beyond the paper, 0.9 is sure enough in any case: the
average of a model that is sure of nearly all rows would leave out half of its doubts.

The rows must not be those that the model has learned.
"""

import numpy as np

from finetune_api.tasks import ProblemType
from finetune_trainer.evaluation.scores import Array, Scored

ENOUGH = 30
"""Rows below which averages by class say nothing."""
_SURE = 0.9


def suspect_rows(scored: Scored) -> Array:
    """Indices of rows with suspect labels, most suspect first; empty unless SingleLabel."""
    if scored.problem is not ProblemType.SINGLE_LABEL or scored.rows < ENOUGH:
        return np.empty(0, np.int64)
    chances, given = scored.probabilities, scored.truth
    usual = np.full(chances.shape[1], np.inf)
    for label in np.unique(given):
        usual[label] = min(_SURE, chances[given == label, label].mean())
    confident = np.where(chances >= usual, chances, -1.0)
    meant = confident.argmax(axis=1)
    doubted = np.flatnonzero((confident.max(axis=1) >= 0) & (meant != given))
    margin = chances[doubted, given[doubted]] - chances[doubted, meant[doubted]]
    return doubted[np.argsort(margin, kind="stable")]
