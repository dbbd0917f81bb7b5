"""Dropout that draws its random bits eight rows at a time; on CPUs PyTorch's own takes a quarter of a LoRA step."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

_LEVELS = 256


class _MaskedScale(torch.autograd.Function):
    """y = x * keep * scale, saving one byte per element."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, keep: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(keep)
        ctx.scale = scale
        return torch.where(keep, x, 0.0).mul_(scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (keep,) = ctx.saved_tensors
        return torch.where(keep, gradients[0], 0.0).mul_(ctx.scale), None, None


class ByteDropout(nn.Dropout):
    """Inverted dropout (Srivastava et al. 2014) with one random byte per element.

    `p` is rounded to a multiple of 1/256 and the scale follows the rounded value, so the expectation is exact.
    Draws come from PyTorch's default generator: seeds and saved generator states work as ever.
    """

    def __init__(self, p: float) -> None:
        super().__init__(p)  # attention modules read `p` and drop by themselves
        self.dropped = round(p * _LEVELS)
        self.scale = _LEVELS / (_LEVELS - self.dropped) if self.dropped < _LEVELS else 0.0

    def forward(self, x: Tensor) -> Tensor:
        """Drop elements of `x` (any shape) while training; the identity otherwise."""
        if not self.training or self.dropped == 0:
            return x
        return _MaskedScale.apply(x, keep_mask(x, self.dropped), self.scale)  # type: ignore[no-any-return]  # torch's own

    def extra_repr(self) -> str:
        """Text for `print(model)`."""
        return f"p={self.dropped}/{_LEVELS}"


def keep_mask(x: Tensor, dropped: int) -> Tensor:
    """Mask of the elements of `x` (any shape) that stay, when `dropped` of 256 are dropped; bool."""
    words = -(-x.numel() // 8)
    # random_() without bounds draws 63 bits, which would leave every eighth byte without its top bit
    bits = x.new_empty(words, dtype=torch.int64).random_(-(2**63), None)
    return bits.view(torch.uint8)[: x.numel()].view(x.shape) >= dropped


@contextmanager
def fast_dropout(model: nn.Module) -> Iterator[None]:
    """Inside the block, replace `nn.Dropout` modules of a CPU model by `ByteDropout`."""
    swapped = [(parent, name, child) for parent, name, child in _dropouts(model) if child.p > 0]
    for parent, name, child in swapped:
        parent.register_module(name, ByteDropout(child.p).train(child.training))
    try:
        yield
    finally:
        for parent, name, child in swapped:
            parent.register_module(name, child.train(parent.get_submodule(name).training))


def _dropouts(model: nn.Module) -> list[tuple[nn.Module, str, nn.Dropout]]:
    return [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if type(child) is nn.Dropout
    ]
