"""`Loss`, the interface of training losses: a sum over rows and its weight; row-wise and token-wise losses."""

from dataclasses import dataclass
from typing import Protocol, Self, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from finetune_trainer.data.sampler import Rows
from finetune_trainer.data.tokenising.batches import Volume
from finetune_trainer.training.losses.classification import Objective
from finetune_trainer.training.speedups.labelled_logits import labelled_logits


class Loss(Protocol):
    """Training loss of one task: a sum over rows, and the weight that it is divided by.

    The loss of a step is `sum(total of its parts) / weight(all its rows)`. So it is the same however a step is cut
    up; a mean of each part would not be (transformers#47688).
    """

    def to(self, device: torch.device) -> Self:
        """A copy with its tensors on `device`."""

    def weight(self, rows: Rows) -> float:
        """Denominator of the step's loss: number of rows, or of their labelled tokens. Called once per step."""

    def total(self, model: nn.Module, inputs: dict[str, Tensor], rows: Rows) -> Tensor:
        """Sum of the losses of `rows` after a forward pass on their collated `inputs`, a scalar that backpropagates."""


@dataclass(frozen=True)
class StepMetrics:
    """Metrics of one optimizer step beside its loss."""

    figures: dict[str, float]
    """Means over the step by name (API names of `CurvePoint.figures`); the same names after every step."""
    warning: str = ""
    """A warning to be reported once; empty for none."""
    volume: Volume | None = None
    """Tokens of the forward passes, where they are not those of the rows, as with rollouts."""


@runtime_checkable
class HasStepMetrics(Protocol):
    """A loss with additional step metrics."""

    def step_metrics(self) -> StepMetrics:
        """Metrics of the last step. Raises `LossDiverged` for a diverged training."""


class RowLoss:
    """Loss with one target per row, stored apart from the inputs; `targets` is [n] or [n, labels]."""

    def __init__(self, objective: Objective, targets: Tensor) -> None:
        self._objective, self._targets = objective, targets

    def to(self, device: torch.device) -> "RowLoss":
        """See `Loss.to`."""
        return RowLoss(self._objective.to(device), self._targets.to(device))

    def weight(self, rows: Rows) -> float:
        """See `Loss.weight`."""
        return self._objective.weight(self._of(rows))

    def total(self, model: nn.Module, inputs: dict[str, Tensor], rows: Rows) -> Tensor:
        """See `Loss.total`."""
        return self._objective.loss_sum(model(**inputs).logits, self._of(rows))

    def _of(self, rows: Rows) -> Tensor:
        return self._targets[torch.from_numpy(rows).to(self._targets.device)]


class TokenLoss:
    """Cross-entropy over labelled tokens; the inputs hold `labels`, [rows, length], `IGNORE_INDEX` elsewhere.

    `counted` [n] is the number of labelled tokens of each row. With `shift` (causal) the logits at a position are
    those of the next token, so that the first label of a row is ignored.
    """

    def __init__(self, counted: NDArray[np.int64], *, shift: bool, label_smoothing: float = 0.0) -> None:
        self._counted, self._shift, self._smoothing = counted, shift, label_smoothing

    def to(self, _device: torch.device) -> "TokenLoss":
        """See `Loss.to`."""
        return self

    def weight(self, rows: Rows) -> float:
        """See `Loss.weight`."""
        return float(max(1, self._counted[rows].sum()))

    def total(self, model: nn.Module, inputs: dict[str, Tensor], rows: Rows) -> Tensor:  # noqa: ARG002 -- as all losses
        """See `Loss.total`."""
        return labelled_logits(model, inputs, shift=self._shift).losses(self._smoothing).sum()
