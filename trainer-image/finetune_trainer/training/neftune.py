"""NEFTune: uniform noise on input embeddings while training (arXiv:2310.05914)."""

from collections.abc import Iterator
from contextlib import contextmanager
from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn


@contextmanager
def neftune_noise(model: nn.Module, alpha: float) -> Iterator[None]:
    """Inside the block, add noise to input embeddings in training mode.

    It is drawn from torch's default generator, between plus and minus `alpha / sqrt(length * width)`, padding counted
    as in transformers. Of an encoder-decoder the encoder's input alone gets noise.
    """
    table = _input_table(model)

    def add_noise(module: nn.Module, _inputs: Any, embedded: Tensor) -> Tensor:
        if not module.training:
            return embedded
        most = alpha / sqrt(embedded.shape[-2] * embedded.shape[-1])
        return embedded + torch.empty_like(embedded).uniform_(-most, most)

    hook = table.register_forward_hook(add_noise)
    try:
        yield
    finally:
        hook.remove()


def _input_table(model: Any) -> nn.Module:
    """The input embedding."""
    reads = model.get_encoder() if model.config.is_encoder_decoder else model
    table: nn.Module = reads.get_input_embeddings()
    return table
