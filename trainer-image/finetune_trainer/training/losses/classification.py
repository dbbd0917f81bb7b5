"""Classification and regression losses as sums and weights, exact under gradient accumulation."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from finetune_api.tasks import ProblemType
from finetune_api.training import ClassWeights, Training


@dataclass(frozen=True)
class Objective:
    """Cross-entropy, binary cross-entropy or squared error over rows.

    The mean over a step's rows is `sum(loss_sum of its parts) / weight(all its rows)`. Heads in transformers
    return the mean of each part instead, which makes accumulated gradients too large (transformers#47688).
    """

    problem: ProblemType
    class_weights: Tensor | None = None
    """Weight of each class, [labels]; None means 1."""
    label_smoothing: float = 0.0

    def to(self, device: torch.device) -> "Objective":
        """The same objective with its weights on `device`."""
        weights = self.class_weights
        return replace(self, class_weights=None if weights is None else weights.to(device))

    def loss_sum(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Sum of the losses of the rows; `logits` [rows, labels], `targets` [rows] or [rows, labels]."""
        logits = logits.float()
        if self.problem is ProblemType.REGRESSION:
            return functional.mse_loss(logits.squeeze(-1), targets, reduction="sum")
        if self.problem is ProblemType.MULTI_LABEL:
            smooth = targets * (1 - self.label_smoothing) + self.label_smoothing / 2
            losses = functional.binary_cross_entropy_with_logits(
                logits, smooth, pos_weight=self.class_weights, reduction="sum"
            )
            return losses / logits.shape[-1]
        return functional.cross_entropy(
            logits, targets, weight=self.class_weights, label_smoothing=self.label_smoothing, reduction="sum"
        )

    def weight(self, targets: Tensor) -> float:
        """Denominator of the loss of a whole step."""
        if self.problem is ProblemType.SINGLE_LABEL and self.class_weights is not None:
            return float(self.class_weights[targets].sum())
        return float(len(targets))


def build_objective(problem: ProblemType, targets: NDArray[np.generic], labels: int, training: Training) -> Objective:
    """The objective for training targets ([n] or [n, labels]), with balanced class weights where requested."""
    if training.class_weights is ClassWeights.NONE or problem is ProblemType.REGRESSION:
        return Objective(problem, None, training.label_smoothing)
    return Objective(problem, _balanced(problem, targets, labels), training.label_smoothing)


def _balanced(problem: ProblemType, targets: NDArray[np.generic], labels: int) -> Tensor:
    """N / (labels * count) for classes, as in scikit-learn; negatives / positives for independent labels."""
    if problem is ProblemType.MULTI_LABEL:
        positive = np.maximum(np.asarray(targets, np.float64).sum(axis=0), 1)
        weights = np.maximum(len(targets) - positive, 1) / positive  # 0 would leave a label on every row unlearned
    else:
        counts = np.bincount(np.asarray(targets, np.int64), minlength=labels)
        weights = len(targets) / (labels * np.maximum(counts, 1))
    return torch.tensor(weights, dtype=torch.float32)
