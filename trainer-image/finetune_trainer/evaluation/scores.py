"""Probabilities, predictions and losses per row, from logits.

Shapes, throughout this package, for n rows and k labels:

| problem     | logits         | targets           |
|-------------|----------------|-------------------|
| SingleLabel | [n, k]         | [n], class number |
| MultiLabel  | [n, k]         | [n, k], 0 or 1    |
| Regression  | [n, 1] or [n]  | [n, 1] or [n]     |
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_softmax

from finetune_api.tasks import ProblemType

Array = NDArray[Any]
Floats = NDArray[np.float64]


def probabilities(logits: Array, problem: ProblemType) -> Floats:
    """Softmax over labels [n, k], sigmoid for each label [n, k], or the values themselves [n] (Regression)."""
    values = np.asarray(logits, dtype=np.float64)
    if problem is ProblemType.REGRESSION:
        return values.reshape(len(values))
    if problem is ProblemType.MULTI_LABEL:
        return np.asarray(expit(values), dtype=np.float64)
    return np.asarray(np.exp(log_softmax(values, axis=1)), dtype=np.float64)


def predictions(logits: Array, problem: ProblemType) -> Array:
    """Most probable class [n] int64, labels above one half [n, k] int64, or the values [n] float64 (Regression)."""
    values = np.asarray(logits, dtype=np.float64)
    if problem is ProblemType.REGRESSION:
        return values.reshape(len(values))
    if problem is ProblemType.MULTI_LABEL:
        return (values > 0).astype(np.int64)
    return np.asarray(values.argmax(axis=1))


def row_losses(logits: Array, targets: Array, problem: ProblemType) -> Floats:
    """Loss of each row [n], without label smoothing and class weights.

    Cross entropy in nats, binary cross entropy as the mean over labels, or the squared error.
    """
    values, truth = np.asarray(logits, dtype=np.float64), np.asarray(targets)
    if problem is ProblemType.REGRESSION:
        return np.square(values.reshape(len(values)) - truth.reshape(len(values)).astype(np.float64))
    if problem is ProblemType.MULTI_LABEL:
        losses = np.logaddexp(0, values) - values * truth
        return np.asarray(losses.mean(axis=1), dtype=np.float64)
    chosen = log_softmax(values, axis=1)[np.arange(len(values)), truth.astype(np.int64)]
    return np.asarray(-chosen, dtype=np.float64)


def prior_loss(targets: Array, problem: ProblemType) -> float:
    """Mean loss of the best constant prediction: class shares, label shares, or the mean of the targets."""
    truth = np.asarray(targets)
    if problem is ProblemType.REGRESSION:
        return float(np.var(truth.astype(np.float64)))
    if problem is ProblemType.MULTI_LABEL:
        share = truth.mean(axis=0)
        return float(np.mean(_entropy(share) + _entropy(1 - share)))
    share = np.bincount(truth.astype(np.int64)) / len(truth)
    return float(_entropy(share).sum())


def _entropy(share: Array) -> Floats:
    """`-p log p`, 0 at 0."""
    positive = np.where(share > 0, share, 1.0)
    return np.asarray(-share * np.log(positive), dtype=np.float64)


@dataclass(frozen=True)
class Scored:
    """Targets and logits, with derived values computed at most once."""

    logits: Array
    targets: Array
    problem: ProblemType
    names: Sequence[str]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.logits)

    @cached_property
    def truth(self) -> Array:
        """Targets as integers, or as float64 [n] (Regression)."""
        if self.problem is ProblemType.REGRESSION:
            return np.asarray(self.targets, dtype=np.float64).reshape(self.rows)
        return np.asarray(self.targets).astype(np.int64)

    @cached_property
    def probabilities(self) -> Floats:
        """See `probabilities`."""
        return probabilities(self.logits, self.problem)

    @cached_property
    def predictions(self) -> Array:
        """See `predictions`."""
        return predictions(self.logits, self.problem)

    @cached_property
    def losses(self) -> Floats:
        """See `row_losses`."""
        return row_losses(self.logits, self.targets, self.problem)

    @cached_property
    def indicators(self) -> Array:
        """Targets as 0 or 1 for each label [n, k] (classification)."""
        if self.problem is ProblemType.MULTI_LABEL:
            return self.truth
        return np.asarray(self.truth[:, None] == np.arange(self.probabilities.shape[1]), dtype=np.int64)
