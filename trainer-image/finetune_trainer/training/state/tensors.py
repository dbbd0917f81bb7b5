"""Trainable parameters and buffers as named tensors on the CPU, and their restoration."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

Tensors = dict[str, Tensor]


class IncompatibleState(Exception):  # noqa: N818 -- nothing went wrong: the state is simply of another kind
    """A saved state of another model, plan or version. The check has changed nothing."""


def trainable_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """The trainable parameters by name, shared ones once."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def trainable_state_dict(model: nn.Module) -> dict[str, Tensor]:
    """Trainable parameters and persistent buffers by name.

    Buffers change without a gradient, as the running statistics of a batch normalisation do.
    """
    buffers = dict(model.named_buffers())
    saved = model.state_dict().keys() if buffers else ()
    return {**trainable_parameters(model), **{name: buffers[name] for name in buffers if name in saved}}


def parameter_names(model: nn.Module) -> dict[int, str]:
    """Name of each parameter by its identity."""
    return {id(parameter): name for name, parameter in model.named_parameters()}


def copy_to_cpu(tensor: Tensor) -> Tensor:
    """An independent copy on the CPU. From a GPU it may be asynchronous: see `wait_for_copies`."""
    tensor = tensor.detach()
    if tensor.device.type == "cpu":
        return tensor.clone(memory_format=torch.contiguous_format)
    target = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=tensor.device.type == "cuda")
    return target.copy_(tensor, non_blocking=True)


def wait_for_copies() -> None:
    """Wait until all copies of `copy_to_cpu` from a GPU are complete."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def check_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Raise `IncompatibleState` unless names, shapes and dtypes are those of `trainable_state_dict(model)`."""
    expected = {name: (tensor.shape, tensor.dtype) for name, tensor in trainable_state_dict(model).items()}
    found = {name: (tensor.shape, tensor.dtype) for name, tensor in weights.items()}
    odd = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    if odd:
        more = f" and {len(odd) - 1} more" if len(odd) > 1 else ""
        raise IncompatibleState(f"{odd[0]}{more} is not the same in the model")


@torch.no_grad()
def load_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Restore weights that `check_weights` accepts."""
    targets = trainable_state_dict(model)
    for name, value in weights.items():
        targets[name].copy_(value)
