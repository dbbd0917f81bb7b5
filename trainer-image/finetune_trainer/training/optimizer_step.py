"""`OptimizerStep`: forward and backward passes over a batch, as large as memory allows, and the update."""

import math
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from finetune_api.training import Training
from finetune_trainer.data.sampler import Rows
from finetune_trainer.data.tokenising.batches import BatchPlan, Volume, volume_of
from finetune_trainer.data.tokenising.collate import RowSource
from finetune_trainer.training.fitting import row_too_large, tried
from finetune_trainer.training.losses.base import Loss
from finetune_trainer.training.prefetch import Inputs, device_inputs
from finetune_trainer.training.state.rng import random_state, set_random_state
from finetune_trainer.training.state.tensors import trainable_parameters

_HALVED = (
    "training passes of up to {} tokens do not fit into memory: from now on they have {} at most, with the same rows "
    "in each step (training.perDeviceBatchSize limits them from the start)"
)

Warn = Callable[[str], None]


@dataclass(frozen=True)
class StepNumbers:
    """Numbers of one step; scalars are still on the device."""

    loss: Tensor
    """Mean loss of the last update."""
    norm: Tensor
    """Norm of its gradient."""
    volume: Volume
    """Tokens of its passes."""


class OptimizerStep:
    """Steps over the batches of a plan, one after the other, each with one update or several."""

    def __init__(
        self,
        model: nn.Module,
        rows: RowSource,
        loss: Loss,
        batches: BatchPlan,
        *,
        accelerator: Accelerator,
        optimizer: Any,
        schedule: Any,
        training: Training,
        updates: int = 1,
    ) -> None:
        """Take a prepared model and optimizer; `updates` are made with the rows of each step, one after the other."""
        self._model, self._rows, self._loss, self._accelerator = model, rows, loss, accelerator
        self._optimizer, self._schedule, self._batches, self._updates = optimizer, schedule, batches, updates
        self._limit = training.max_grad_norm or math.inf
        self._trainable = list(trainable_parameters(model).values())
        self._done = 0
        self._inputs = self._prepared_inputs()

    @property
    def token_budget(self) -> int:
        """Most padded tokens of a pass."""
        return self._batches.token_budget

    def resume_after(self, steps: int, token_budget: int | None = None) -> None:
        """Go on after so many steps of the plan, with the passes of the attempt before where they are named."""
        self._done = steps
        self._cut_into(self.token_budget if token_budget is None else token_budget)

    def batches(self) -> Iterator[Rows]:
        """All batches to come, without end."""
        a_pass = self._batches.steps_per_epoch
        for epoch in count(self._done // a_pass):
            yield from self._batches.epoch(epoch)[self._done % a_pass if epoch == self._done // a_pass else 0 :]

    def make(self, batch: Rows, warn: Warn) -> StepNumbers:
        """Make the next step, over `batch`. Raises `OutOfMemory` where not even a row fits into memory."""
        parts, weight, loss = self._fitting_passes(batch, warn)
        norm = self._update()
        for _ in range(1, self._updates):
            loss, norm = self._accumulate(parts, weight), self._update()
        self._schedule.step()
        self._done += 1
        return StepNumbers(loss, torch.zeros_like(loss) if norm is None else norm, self._volume(parts))

    def close(self) -> None:
        """Make no more inputs in advance."""
        self._inputs.close()

    def _parts(self) -> Iterator[Rows]:
        """Rows of all passes to come, in the order that updates take them."""
        for batch in self.batches():
            for _ in range(self._updates):
                yield from self._batches.micro_batches(batch)

    def _prepared_inputs(self) -> Generator[Inputs]:
        """Inputs of all passes to come."""
        return device_inputs(self._rows.collate, self._parts(), self._accelerator.device)

    def _cut_into(self, token_budget: int) -> None:
        """Cut the steps to come into passes of so many tokens at most."""
        self._batches = replace(self._batches, token_budget=token_budget)
        self._inputs.close()
        self._inputs = self._prepared_inputs()

    def _fitting_passes(self, batch: Rows, warn: Warn) -> tuple[list[Rows], float, Tensor]:
        """Accumulate the gradients of a step in passes that fit into memory; returns their rows, weight and mean loss.

        A pass that does not fit is halved, and the step begins again, before any weight has changed.
        """
        random, given = random_state(), self.token_budget
        while True:
            parts, weight = list(self._batches.micro_batches(batch)), self._loss.weight(batch)
            loss, reason = tried(partial(self._accumulate, parts, weight))
            if loss is not None:
                if self.token_budget < given:
                    warn(_HALVED.format(given, self.token_budget))
                return parts, weight, loss
            self._optimizer.zero_grad()
            self._halve(parts, reason)
            set_random_state(*random)

    def _halve(self, parts: list[Rows], reason: str) -> None:
        """Halve the passes of this step and all later ones. Raises `OutOfMemory` where each is of one row."""
        most = max(self._volume([part]).padded for part in parts)
        if all(len(part) == 1 for part in parts):
            raise row_too_large(most, reason)
        self._cut_into(max(1, min(self.token_budget, most) // 2))

    def _volume(self, parts: list[Rows]) -> Volume:
        return volume_of(parts, self._batches.lengths, packed=self._batches.packed)

    def _accumulate(self, parts: list[Rows], weight: float) -> Tensor:
        """Accumulate the gradients of `parts`; returns their mean loss, a scalar on the device."""
        total = torch.zeros((), device=self._accelerator.device)
        for rows in parts:
            given = next(self._inputs)
            with self._accelerator.autocast():  # of the loss, too: as the reference and all evaluations are computed
                loss = self._loss.total(self._model, given, rows) / weight
            self._accelerator.backward(loss)
            total += loss.detach()
        return total

    def _update(self) -> Tensor | None:
        """Update the weights by their gradients; returns the gradient's norm."""
        norm: Tensor | None = self._accelerator.clip_grad_norm_(self._trainable, self._limit)
        self._optimizer.step()
        self._optimizer.zero_grad()
        return norm
