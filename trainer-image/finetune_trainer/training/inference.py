"""Logits of many rows, in the order of the rows whatever order they are computed in."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from finetune_trainer.data.batches import cut_by_tokens
from finetune_trainer.data.collate import RowSource
from finetune_trainer.signals import check_stop

_TOKENS = {"cpu": 4_096, "cuda": 65_536}


def predict_logits(
    model: nn.Module, rows: RowSource, advance: Callable[[int], None] = lambda _rows: None
) -> NDArray[np.float32]:
    """Run all rows through the model in evaluation mode; returns [n, labels] in FP32.

    Rows of like length go together; `advance` is told the number of rows done.
    """
    device = next(model.parameters()).device
    lengths, collected, order = rows.lengths, [], []
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        for part in cut_by_tokens(np.arange(len(lengths)), lengths, _TOKENS.get(device.type, 65_536)):
            check_stop()
            batch = {name: tensor.to(device) for name, tensor in rows.collate(part).items()}
            collected.append(model(**batch).logits.float().cpu().numpy())
            order.append(part)
            advance(len(part))
    model.train(was_training)
    logits = np.concatenate(collected)
    restored = np.empty_like(logits)
    restored[np.concatenate(order)] = logits
    return restored
