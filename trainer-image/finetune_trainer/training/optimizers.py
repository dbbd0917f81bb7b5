"""Optimizers of a job (`training.optimizer`): how each is built, and shapes and bytes of its state per parameter."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil, prod
from typing import Any

import torch
from torch import nn

from finetune_api.training import Optimizer, Training
from finetune_trainer.methods.adapted import uniform_lr

Groups = list[dict[str, Any]]
"""Parameter groups of `torch.optim`, with `params`, `lr` and `weight_decay`."""
Shape = tuple[int, ...]
State = Mapping[str, tuple[Shape, torch.dtype]]
"""Tensors of an optimizer's state for one parameter by name; scalars are `()`."""

_QUANTIZED_FROM, _BLOCK, _CODES = 4_096, 256, 256
"""bitsandbytes: least elements of a tensor whose state is in 8 bits, elements per scale, values of the data type."""


@dataclass(frozen=True)
class OptimizerKind:
    """One optimizer: how it is built, and what it keeps for a parameter."""

    build: Callable[[Groups, float, Training], torch.optim.Optimizer]
    """From parameter groups, the peak learning rate and the job's settings."""
    state: Callable[[Shape, bool], State]
    """Its state for a parameter of a shape, which is of an embedding or not."""


def build_optimizer(
    model: nn.Module,
    learning_rate: float,
    training: Training,
    lr_factor: Callable[[str], float] = uniform_lr,
) -> torch.optim.Optimizer:
    """The optimizer of a job over the trainable parameters; biases, norms and other vectors are not decayed.

    `lr_factor` gives the learning rate of a parameter as a multiple, by its name. The group whose multiple is nearest
    to 1 comes first, so that the rate of the first group is the one to show.
    """
    embeddings = embedding_weights(model) if training.optimizer is Optimizer.ADAMW_8BIT else frozenset()
    groups: dict[tuple[float, float, float, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            factor, decay = lr_factor(name), training.weight_decay if parameter.ndim > 1 else 0.0
            kind = (abs(1 - factor), factor, -decay, id(parameter) in embeddings)
            groups.setdefault(kind, []).append(parameter)
    settings = [
        {"params": groups[kind], "lr": kind[1] * learning_rate, "weight_decay": -kind[2]}
        | ({"full_state": True} if kind[3] else {})
        for kind in sorted(groups)
    ]
    return OPTIMIZERS[training.optimizer].build(settings, learning_rate, training)


def embedding_weights(model: nn.Module) -> frozenset[int]:
    """Identities of the weights of embeddings, whose gradients are too uneven for a state in 8 bits."""
    read = _input_embedding(model)
    return frozenset(
        id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding) or module is read
    )


def kind_of(optimizer: torch.optim.Optimizer) -> OptimizerKind:
    """The kind of an optimizer that was built here; its class has the name of the job's value."""
    return OPTIMIZERS[Optimizer(type(optimizer).__name__)]


def state_bytes(optimizer: Optimizer, shape: Shape, *, is_embedding: bool = False) -> int:
    """Bytes of an optimizer's state for an FP32 parameter of a shape."""
    return sum(prod(size) * dtype.itemsize for size, dtype in OPTIMIZERS[optimizer].state(shape, is_embedding).values())


def _input_embedding(model: Any) -> nn.Module | None:
    find = getattr(model, "get_input_embeddings", None)
    return find() if callable(find) else None


def _adamw(groups: Groups, learning_rate: float, training: Training) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups, lr=learning_rate, **_adam_settings(training), fused=True)


def _adamw_8bit(groups: Groups, learning_rate: float, training: Training) -> torch.optim.Optimizer:
    from finetune_trainer.training.adamw_8bit import AdamW8bit

    optimizer: torch.optim.Optimizer = AdamW8bit(groups, lr=learning_rate, **_adam_settings(training))  # type: ignore[no-untyped-call]  # of bitsandbytes
    return optimizer


def _adafactor(groups: Groups, learning_rate: float, _training: Training) -> torch.optim.Optimizer:
    """That of transformers, as its `Trainer` sets it: the learning rate is not scaled by the size of the weights."""
    from transformers.optimization import Adafactor

    optimizer: torch.optim.Optimizer = Adafactor(groups, lr=learning_rate, scale_parameter=False, relative_step=False)
    return optimizer


def _adam_settings(training: Training) -> dict[str, Any]:
    return {"betas": (training.adam_beta1, training.adam_beta2), "eps": training.adam_epsilon}


def _adamw_state(shape: Shape, _is_embedding: bool) -> State:
    return {"exp_avg": (shape, torch.float32), "exp_avg_sq": (shape, torch.float32), "step": ((), torch.float32)}


def _adamw_8bit_state(shape: Shape, is_embedding: bool) -> State:
    if is_embedding or prod(shape) < _QUANTIZED_FROM:
        return dict.fromkeys(("state1", "state2"), (shape, torch.float32))
    blocks = (ceil(prod(shape) / _BLOCK),)
    return {
        **dict.fromkeys(("state1", "state2"), (shape, torch.uint8)),
        **dict.fromkeys(("absmax1", "absmax2"), (blocks, torch.float32)),
        **dict.fromkeys(("qmap1", "qmap2"), ((_CODES,), torch.float32)),
    }


def _adafactor_state(shape: Shape, _is_embedding: bool) -> State:
    root = {"RMS": ((), torch.float32)}
    if len(shape) < 2:
        return {"exp_avg_sq": (shape, torch.float32), **root}
    rows, columns = shape[:-1], (*shape[:-2], shape[-1])
    return {"exp_avg_sq_row": (rows, torch.float32), "exp_avg_sq_col": (columns, torch.float32), **root}


OPTIMIZERS: dict[Optimizer, OptimizerKind] = {
    Optimizer.ADAMW: OptimizerKind(_adamw, _adamw_state),
    Optimizer.ADAMW_8BIT: OptimizerKind(_adamw_8bit, _adamw_8bit_state),
    Optimizer.ADAFACTOR: OptimizerKind(_adafactor, _adafactor_state),
}
"""All optimizers by their names in a job. Where a job is estimated, `state_bytes` says what one needs."""
