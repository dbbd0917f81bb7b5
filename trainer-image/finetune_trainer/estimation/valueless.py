"""Weights without values on a device: a model of the meta device that can be trained, in no memory.

Tensors of `FakeTensorMode` know their device, so that PyTorch chooses the same kernels (attention) as for real ones.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

_BLOCK, _OUTER = 64, 256
"""Weights of one scale, and scales of one scale of scales (bitsandbytes' defaults)."""
_CODES = 256 + 16
"""Values in the tables of codes of one quantized matrix, in FP32."""


def quantized_bytes(weights: int, *, double_quant: bool) -> int:
    """Bytes of a matrix of so many weights in 4 bits, with its scales (absmax) and tables of codes."""
    scales = -(-weights // _BLOCK)
    packed = -(-weights // 2)
    if not double_quant:
        return packed + 4 * (scales + 16)
    return packed + scales + 4 * (-(-scales // _OUTER) + _CODES + 1)


def without_values(model: nn.Module, *, double_quant: bool = True) -> None:
    """Replace all weights of a model on the meta device by tensors without values, shared ones once.

    Linear modules of bitsandbytes get the bytes of 4-bit weights, and a forward pass that converts them as theirs does.
    """
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    made: dict[int, nn.Parameter] = {}
    for module in model.modules():
        is_quantized = _is_4_bit(module)
        for name, weight in list(module.named_parameters(recurse=False, remove_duplicate=False)):
            if id(weight) not in made:
                quantized = is_quantized and name == "weight"
                size = (quantized_bytes(weight.numel(), double_quant=double_quant),) if quantized else weight.shape
                made[id(weight)] = _parameter(mode, size, weight, torch.uint8 if quantized else weight.dtype)
            module._parameters[name] = made[id(weight)]  # noqa: SLF001 -- bitsandbytes' setter wants values
        for name, buffer in list(module.named_buffers(recurse=False)):
            if buffer.device.type == "meta":
                with mode:
                    module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype)  # noqa: SLF001 -- as above
        if is_quantized:
            module.forward = partial(_product, module)


def _parameter(mode: FakeTensorMode, size: Any, like: nn.Parameter, dtype: torch.dtype) -> nn.Parameter:
    with mode:
        return nn.Parameter(torch.empty(size, dtype=dtype), requires_grad=like.requires_grad)


def _is_4_bit(module: nn.Module) -> bool:
    return any(kind.__name__ == "Linear4bit" and "bitsandbytes.nn" in kind.__module__ for kind in type(module).__mro__)


def _product(module: Any, x: Tensor) -> Tensor:
    """Forward pass of a 4-bit linear module."""
    given = x.dtype
    x = x if module.compute_dtype is None else x.to(module.compute_dtype)
    bias = None if module.bias is None else module.bias.to(x.dtype)
    size = (module.out_features, module.in_features)
    return _QuantizedProduct.apply(x, module.weight, bias, size).to(given)  # type: ignore[no-any-return]


class _QuantizedProduct(torch.autograd.Function):
    """y = x W^T + bias with W converted from 4 bits, in forward and backward; only W in 4 bits is saved."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, packed: Tensor, bias: Tensor | None, size: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(packed)
        ctx.size = size
        y = nn.functional.linear(x, packed.new_empty(size, dtype=x.dtype))
        return y if bias is None else y.add_(bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (packed,), gradient = ctx.saved_tensors, gradients[0]
        return gradient @ packed.new_empty(ctx.size, dtype=gradient.dtype), None, None, None
