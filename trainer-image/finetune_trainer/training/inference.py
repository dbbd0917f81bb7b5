"""Batched inference: outputs of many rows in their order, batched by length."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from finetune_trainer.data.sampler import Rows
from finetune_trainer.data.tokenising.collate import RowSource
from finetune_trainer.memory.token_budget import inference_tokens
from finetune_trainer.observer import Monitor
from finetune_trainer.training.fitting import over_fitting_parts

Outputs = dict[str, NDArray[Any]]
"""Outputs of a model on n rows by name, each [n, ...]; stored in checkpoints as they are."""


def predict_logits(model: nn.Module, rows: RowSource, monitor: Monitor | None = None) -> NDArray[np.float32]:
    """Run all rows through the model in evaluation mode; returns [n, labels] in FP32."""

    def logits(batch: dict[str, Tensor]) -> Outputs:
        return {"logits": model(**batch).logits.float().cpu().numpy()}

    return run_rows(model, rows, logits, monitor)["logits"]


def run_rows(
    model: nn.Module,
    rows: RowSource,
    look: Callable[[dict[str, Tensor]], Outputs],
    monitor: Monitor | None = None,
) -> Outputs:
    """Apply `look` to all rows in batches, with the model in evaluation mode; results in row order.

    Rows of like length go together. `look` gets a collated batch on the model's device and returns arrays of one
    entry a row; arrays of different width are filled up with -1. `monitor` hears of the rows of each batch.
    A batch that does not fit into memory is halved. Raises `KeyboardInterrupt` between two batches where a stop is
    requested, and `OutOfMemory` for a row that does not fit alone.
    """
    device, monitor = next(model.parameters()).device, monitor or Monitor()

    def pass_over(part: Rows) -> Outputs:
        monitor.stop.check()
        outputs = look({name: tensor.to(device) for name, tensor in rows.collate(part).items()})
        monitor.advance(len(part))
        return outputs

    lengths, was_training = rows.lengths, model.training
    budget = inference_tokens(model, device, int(lengths.max(initial=1)))
    model.eval()
    try:
        with torch.inference_mode():
            done = over_fitting_parts("evaluation", lengths, budget, monitor.limit, pass_over)
    finally:
        model.train(was_training)
    places = np.concatenate([part for part, _ in done])
    return {name: _in_order([outputs[name] for _, outputs in done], places) for name in done[0][1]}


def _in_order(parts: list[NDArray[Any]], places: Rows) -> NDArray[Any]:
    """Concatenated parts, each row at its original index."""
    width = max(part.shape[1] for part in parts) if parts[0].ndim > 1 else 0
    even = [_filled(part, width) if part.ndim == 2 else part for part in parts]
    joined = np.concatenate(even)
    restored = np.empty_like(joined)
    restored[places] = joined
    return restored


def _filled(part: NDArray[Any], width: int) -> NDArray[Any]:
    return np.pad(part, ((0, 0), (0, width - part.shape[1])), constant_values=-1)
