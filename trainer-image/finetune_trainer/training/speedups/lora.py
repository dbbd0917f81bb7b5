"""LoRA linear modules with fewer passes over memory, for FP32 on CPUs.

PEFT computes `base(x) + B(A(dropout(x))) * scaling` with an operation, and a tensor of the size of the output, for
each sign. Here the scale and dropout's are folded into the matrix product that adds B's part to the base's output in
place, and the same in the backward pass. The result differs by rounding only.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from finetune_trainer.models.upcast_modules import UpcastLinear
from finetune_trainer.training.speedups.dropout import ByteDropout, keep_mask


class _LoraLinear(torch.autograd.Function):
    """y = x W^T + bias + scale * (keep * x) A^T B^T, with x [tokens, in]; W and bias get no gradient."""

    @staticmethod
    def forward(  # noqa: PLR0917 -- autograd functions take no keywords
        ctx: Any, x: Tensor, base: nn.Linear, a: Tensor, b: Tensor, keep: Tensor | None, scale: float
    ) -> Tensor:
        kept = x if keep is None else torch.where(keep, x, 0.0)
        low = kept @ a.T
        y: Tensor = base(x)
        y.addmm_(low, b.T, alpha=scale)
        ctx.save_for_backward(base.weight, a, b, kept, low, *(() if keep is None else (keep,)))
        ctx.scale = scale
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        weight, a, b, kept, low, *keep = ctx.saved_tensors
        gradient = gradients[0]
        grad_low = (gradient @ b).mul_(ctx.scale)
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = gradient @ weight.to(gradient.dtype)
            if keep:
                grad_x.add_(torch.where(keep[0], grad_low @ a, 0.0))
            else:
                grad_x.addmm_(grad_low, a)
        return grad_x, None, grad_low.T @ kept, (gradient.T @ low).mul_(ctx.scale), None, None


@contextmanager
def fast_lora(model: nn.Module) -> Iterator[None]:
    """Inside the block, give plain LoRA modules of `model` the faster forward.

    Modules with a variant (DoRA ...), a bias of their own, several adapters or a base other than `nn.Linear` keep
    PEFT's.
    """
    swapped = [module for module in model.modules() if _is_plain(module)]
    for module in swapped:
        module.forward = partial(_forward, module)
    try:
        yield
    finally:
        for module in swapped:
            del module.forward


def _is_plain(module: Any) -> bool:
    from peft.tuners.lora.layer import Linear

    if not isinstance(module, Linear) or len(module.active_adapters) != 1:
        return False
    if type(module.base_layer) not in (nn.Linear, UpcastLinear):
        return False
    name = module.active_adapters[0]
    return name not in module.lora_variant and not module.lora_bias[name] and not module.merged


def _forward(module: Any, x: Tensor) -> Tensor:
    if module.disable_adapters:
        return module.base_layer(x)  # type: ignore[no-any-return]  # as PEFT does
    name = module.active_adapters[0]
    a, b, scale = module.lora_A[name].weight, module.lora_B[name].weight, module.scaling[name]
    flat = x.reshape(-1, x.shape[-1])
    keep, grown = _dropped(module.lora_dropout[name], flat)
    y = _LoraLinear.apply(flat, module.base_layer, a, b, keep, scale * grown)
    return y.view(*x.shape[:-1], -1)  # type: ignore[no-any-return]  # autograd functions are untyped


def _dropped(dropout: nn.Module, x: Tensor) -> tuple[Tensor | None, float]:
    """Mask of the remaining elements and scale of inverted dropout; None and 1 without dropout."""
    if not isinstance(dropout, nn.Dropout) or not dropout.training or dropout.p == 0:
        return None, 1.0
    fast = dropout if isinstance(dropout, ByteDropout) else ByteDropout(dropout.p)
    return keep_mask(x, fast.dropped), fast.scale
