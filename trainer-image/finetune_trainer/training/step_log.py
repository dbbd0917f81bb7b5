"""`StepLog`: what steps have to report, read from the device together instead of one by one.

Reading a number makes the processor wait until the GPU has computed it, and the GPU then waits for its next work.
"""

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from finetune_trainer.data.tokenising.batches import Volume
from finetune_trainer.training.losses.base import StepMetrics


@dataclass(frozen=True)
class StepRecord:
    """One optimizer step; loss and norm of the gradient are still on the device."""

    step: int
    rows: int
    volume: Volume
    learning_rate: float
    loss: Tensor
    norm: Tensor
    metrics: StepMetrics


class StepLog:
    """Steps that are not reported yet; those of at least `seconds` are reported together."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._begun, self._steps = seconds, time.monotonic(), list[StepRecord]()

    def add(self, record: StepRecord) -> None:
        """Add a step."""
        self._steps.append(record)

    @property
    def is_due(self) -> bool:
        """Whether the steps have waited for long enough."""
        return time.monotonic() - self._begun >= self._seconds

    def take(self) -> list[tuple[StepRecord, float, float]]:
        """The steps with their losses and norms, and none are left."""
        steps, self._steps, self._begun = self._steps, [], time.monotonic()
        if not steps:
            return []
        numbers = torch.stack([value.float() for step in steps for value in (step.loss, step.norm)]).tolist()
        return list(zip(steps, numbers[::2], numbers[1::2], strict=True))
