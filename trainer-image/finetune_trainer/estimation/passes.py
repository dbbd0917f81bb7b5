"""Peaks of training, evaluation and generation: the job's own passes over its largest batches, without values."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate.utils import convert_outputs_to_fp32
from torch import Tensor, nn

from finetune_trainer.data.sampler import Rows
from finetune_trainer.data.tokenising.collate import RowSource
from finetune_trainer.estimation.live_memory import (
    ADAPTER,
    GRADIENTS,
    WEIGHTS,
    LiveMemory,
    Parts,
    labelled_gradients,
)
from finetune_trainer.memory.logits import chunks_as_on
from finetune_trainer.training.losses.base import Loss
from finetune_trainer.training.speedups.labelled_logits import labelled_logits


@dataclass(frozen=True)
class ValuelessModel:
    """A model whose weights have no values, as it is trained."""

    model: Any
    vocabulary: int
    """Tokens of the vocabulary; 0 where the model projects onto none."""
    is_adapter: bool
    """Whether what is trained stands beside a frozen base."""
    kind: str = "cpu"
    """Type of the device that it is trained on, in torch."""
    autocast: torch.dtype | None = None
    """Format of mixed precision; None for FP32."""
    swapped: Callable[[], Any] = field(default=ExitStack)
    """A block with the modules of training."""

    @property
    def trained(self) -> list[nn.Parameter]:
        """Weights that are trained."""
        return [weight for weight in self.model.parameters() if weight.requires_grad]

    @property
    def tensors(self) -> list[Tensor]:
        """All weights and buffers."""
        return [*self.model.parameters(), *self.model.buffers()]

    @contextmanager
    def measured(self, *others: Tensor) -> Iterator[LiveMemory]:
        """Inside the block, live memory is followed, from the weights on; `others` are weights beside the model's."""
        live = LiveMemory(self.vocabulary)
        for tensor in [*others, *self.tensors]:
            live.label(tensor, ADAPTER if self.is_adapter and tensor.requires_grad else WEIGHTS)
        with (
            live,
            chunks_as_on(self.kind),
            torch.autocast("cpu", dtype=self.autocast, enabled=self.autocast is not None),
        ):
            yield live

    def weights(self) -> Parts:
        """Bytes of the weights by part."""
        with self.measured() as live:
            return live.live


def training_peak(valueless: ValuelessModel, loss: Loss, rows: RowSource, part: Rows, *, accumulates: bool) -> Parts:
    """Bytes by part at the peak of a forward and backward pass over the rows `part`, the optimizer's left out.

    With `accumulates`, gradients of an earlier pass of the same step are there.
    """
    model = valueless.model
    model.train()
    whole = valueless.tensors  # which stay where modules are swapped
    with valueless.swapped(), _as_prepared(valueless), valueless.measured(*whole) as live:
        trained = valueless.trained
        if accumulates:
            for weight in trained:
                weight.grad = torch.zeros_like(weight)
                live.label(weight.grad, GRADIENTS)
        live.restart()
        with labelled_gradients(live, list(trained)):
            loss.total(model, rows.collate(part), part).backward()  # type: ignore[no-untyped-call]  # torch's own
        peak = live.at_peak
        for weight in trained:
            weight.grad = None
    return peak


def evaluation_peak(valueless: ValuelessModel, rows: RowSource, part: Rows, *, shift: bool) -> Parts:
    """Bytes by part at the peak of an evaluation pass over the rows `part`."""
    valueless.model.eval()
    with torch.no_grad(), valueless.measured() as live:
        batch = rows.collate(part)
        if "labels" not in batch or not valueless.vocabulary:
            batch.pop("labels", None)
            valueless.model(**batch)
        else:
            labelled_logits(valueless.model, batch, shift=shift).losses()
        return live.at_peak


@contextmanager
def _as_prepared(valueless: ValuelessModel) -> Iterator[None]:
    """Inside the block, the forward pass converts its outputs to FP32, as accelerate has it in mixed precision."""
    model = valueless.model
    if valueless.autocast is None:
        yield
        return
    plain = model.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        with torch.autocast("cpu", dtype=valueless.autocast):
            return plain(*args, **kwargs)

    model.forward = convert_outputs_to_fp32(forward)
    try:
        yield
    finally:
        del model.forward
