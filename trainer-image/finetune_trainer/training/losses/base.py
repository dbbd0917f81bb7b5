"""What a step minimises: sums over rows and what they are divided by, whatever the task."""

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
    """The loss of one task over its training rows.

    The loss of a step is `sum(total of its parts) / weight(all its rows)`. So it is the same however a step is cut
    up; a mean of each part would not be (transformers#47688).
    """

    def to(self, device: torch.device) -> Self:
        """The same with its tensors on `device`."""

    def weight(self, rows: Rows) -> float:
        """What the sum over a whole step is divided by: rows, or tokens that count. Asked once, as a step begins."""

    def total(self, model: nn.Module, inputs: dict[str, Tensor], rows: Rows) -> Tensor:
        """Run the model on the collated `inputs` of `rows` and return the sum of the losses, a scalar."""


@dataclass(frozen=True)
class StepMetrics:
    """What a loss has to say of the last step beside its value."""

    figures: dict[str, float]
    """Means over the step, by name; the same names after every step."""
    warning: str = ""
    """Something a careful person would look at, told once."""
    volume: Volume | None = None
    """Tokens that went through the model, where they are not those of the rows."""


@runtime_checkable
class HasStepMetrics(Protocol):
    """A loss that has more to say than its value."""

    def told(self) -> StepMetrics:
        """What there is to say of the step that is done. Raises `LossDiverged` where it makes no sense to go on."""


class RowLoss:
    """A loss with one target a row, apart from the inputs; `targets` is [n] or [n, labels]."""

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
    """Cross entropy over the tokens that have a label; labels ride with the inputs as `labels`, [rows, length].

    `counted` [n] says how many tokens of each row have one. With `shift` the logits of a position are of the next
    token, so that the first label of a row never counts.
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
