"""Frozen linear and embedding modules that store half-precision weights and compute in the precision of their input.

Half-precision values are exact in FP32, so the outputs are those of a copy of the weights in FP32, which is never made:
a block of rows of a matrix is converted where it is used, in the forward and again in the backward pass. Under
autocast the weights are used as autocast does it.
"""

from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from finetune_trainer.models.module_names import is_in_body

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_HALF = (torch.float16, torch.bfloat16)
_BLOCK = 1 << 24
"""Values of a matrix that are converted at a time: 64 MiB in FP32."""


class _UpcastProduct(torch.autograd.Function):
    """y = x W^T + bias, with x [..., in] and W [out, in] in half precision; W and bias get no gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(weight)
        blocks = _blocks(weight)
        if len(blocks) == 1:
            return functional.linear(x, weight.to(x.dtype), bias)
        y = x.new_empty(*x.shape[:-1], len(weight))
        for rows in blocks:
            y[..., rows] = functional.linear(x, weight[rows].to(x.dtype), None if bias is None else bias[rows])
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (weight,), gradient = ctx.saved_tensors, gradients[0]
        flat = gradient.reshape(-1, gradient.shape[-1])
        first, *others = _blocks(weight)
        total = flat[:, first] @ weight[first].to(flat.dtype)
        for rows in others:
            total.addmm_(flat[:, rows], weight[rows].to(flat.dtype))
        return total.view(*gradient.shape[:-1], -1), None, None


def _blocks(weight: Tensor) -> list[slice]:
    """Ranges of matrix rows that are converted at a time, of even size."""
    count, rows = -(-weight.numel() // _BLOCK), len(weight)
    size = -(-rows // count)
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]


def upcast_product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`functional.linear` in the dtype of `x` [..., in] for a frozen `weight` [out, in] in half precision."""
    return _UpcastProduct.apply(x, weight, bias)  # type: ignore[no-any-return]  # torch's own


def _is_usable(weight: Tensor, x: Tensor) -> bool:
    """Whether a product with `x` takes `weight` without conversion: in one dtype, or under autocast."""
    return x.dtype == weight.dtype or torch.is_autocast_enabled(x.device.type)


class UpcastLinear(nn.Linear):
    """A frozen linear module with half-precision weights."""

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., out], in the dtype of `x` or of autocast."""
        if _is_usable(self.weight, x):
            return super().forward(x)
        return upcast_product(x, self.weight, self.bias)


class UpcastEmbedding(nn.Embedding):
    """A frozen half-precision embedding with FP32 output."""

    def forward(self, ids: Tensor) -> Tensor:
        """Token ids of any shape -> [..., width]."""
        return super().forward(ids).float()


def keep_half_precision(model: "PreTrainedModel") -> None:
    """Keep matrices of the body, and the projection onto the vocabulary, in their stored half precision.

    Everything else becomes FP32: heads, which are trained; norms and biases, which are small; and what the architecture
    names as unfit for half precision.
    """
    kept = {id(module.weight) for module in _swapped(model)}
    for tensor in [*model.parameters(), *model.buffers()]:
        if tensor.dtype in _HALF and id(tensor) not in kept:
            tensor.data = tensor.data.float()


def _swapped(model: "PreTrainedModel") -> list[Any]:
    """Modules that keep their dtype, each replaced by its upcasting kind."""
    found = [(name, module) for name, module in model.named_modules() if _may_stay_half(model, name, module)]
    return [module for name, module in found if _swap(module)]


def _may_stay_half(model: "PreTrainedModel", name: str, module: nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    if not isinstance(weight, Tensor) or weight.dtype not in _HALF:
        return False
    sensitive = [*(model._keep_in_fp32_modules or ()), *(model._keep_in_fp32_modules_strict or ())]  # noqa: SLF001 -- no public name
    if set(sensitive) & set(name.split(".")):
        return False
    return is_in_body(model, name) or module is model.get_output_embeddings()


def _swap(module: Any) -> bool:
    """Replace a module by its upcasting kind, in place; False for unsupported kinds."""
    from transformers.pytorch_utils import Conv1D

    if type(module) is nn.Linear:
        module.__class__ = UpcastLinear
    elif type(module) is Conv1D:
        module.__class__ = _conv1d()
    elif isinstance(module, nn.Embedding) and module.max_norm is None:
        kind = type(module)  # of some architectures it scales: then `super().forward` in there is the upcasting one
        own = UpcastEmbedding if kind is nn.Embedding else type(kind.__name__, (kind, UpcastEmbedding), {})
        module.__class__ = own
    else:
        return False
    return True


def keep_prefix_in_fp32(model: Any) -> None:
    """Make a PEFT model prepend its learned keys and values in FP32, whatever the base's dtype."""
    if model.active_peft_config.is_prompt_learning:
        kind = type(model)
        model.__class__ = type(kind.__name__, (kind,), {"base_model_torch_dtype": torch.float32})


@cache
def _conv1d() -> Any:
    """Upcasting Conv1D (GPT-2), weights [in, out] in half precision; created on first use: transformers is slow."""
    from transformers.pytorch_utils import Conv1D

    class UpcastConv1D(Conv1D):  # type: ignore[misc]  # transformers is untyped here
        """A frozen one."""

        def forward(self, x: Tensor) -> Tensor:
            """[..., in] -> [..., out], in the precision of `x`, or of autocast."""
            if _is_usable(self.weight, x):
                return super().forward(x)  # type: ignore[no-any-return]  # transformers is untyped here
            return upcast_product(x, self.weight.T, self.bias)

    return UpcastConv1D
