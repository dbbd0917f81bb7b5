"""AdamW and its learning-rate schedule."""

import math
from collections.abc import Callable

import torch
from torch import nn

from finetune_api.training import Scheduler, Training
from finetune_trainer.methods.adapted import everywhere_alike


def build_optimizer(
    model: nn.Module,
    learning_rate: float,
    weight_decay: float,
    rate_factor: Callable[[str], float] = everywhere_alike,
) -> torch.optim.AdamW:
    """AdamW over the trainable parameters; biases, norms and other vectors are not decayed.

    `rate_factor` gives the share of the learning rate that a parameter has, by its name. The group with the largest
    comes first, so that the rate of the first group is the one to show.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            kind = (-rate_factor(name), -weight_decay if parameter.ndim > 1 else 0.0)
            groups.setdefault(kind, []).append(parameter)
    return torch.optim.AdamW(
        [{"params": groups[kind], "lr": -kind[0] * learning_rate, "weight_decay": -kind[1]} for kind in sorted(groups)],
        lr=learning_rate,
        fused=True,
    )


def build_schedule(
    optimizer: torch.optim.Optimizer, training: Training, total_steps: int
) -> torch.optim.lr_scheduler.LambdaLR:
    """Warm up to the peak, then go as `training.scheduler` says."""
    warmup = math.ceil(training.warmup_ratio * total_steps)
    return torch.optim.lr_scheduler.LambdaLR(optimizer, learning_rate_factor(training.scheduler, warmup, total_steps))


def learning_rate_factor(scheduler: Scheduler, warmup: int, total: int) -> Callable[[int], float]:
    """The learning rate of step `n` (from 0) as a share of its peak."""
    shape = _SHAPES[scheduler]

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        return shape(step, warmup, total)

    return factor


def _left(step: int, warmup: int, total: int) -> float:
    """Share of the steps after the warm-up that are left, from 1 to 0."""
    return max(0.0, (total - step) / max(1, total - warmup))


def _linear(step: int, warmup: int, total: int) -> float:
    return _left(step, warmup, total)


def _cosine(step: int, warmup: int, total: int) -> float:
    return 0.5 * (1 + math.cos(math.pi * (1 - _left(step, warmup, total))))


def _polynomial(step: int, warmup: int, total: int) -> float:
    return _left(step, warmup, total) ** 2


def _constant(_step: int, _warmup: int, _total: int) -> float:
    return 1.0


def _inverse_sqrt(step: int, warmup: int, _total: int) -> float:
    start = max(1, warmup)
    return math.sqrt(start / (step - warmup + start))


_SHAPES: dict[Scheduler, Callable[[int, int, int], float]] = {
    Scheduler.LINEAR: _linear,
    Scheduler.COSINE: _cosine,
    Scheduler.POLYNOMIAL: _polynomial,
    Scheduler.CONSTANT: _constant,
    Scheduler.INVERSE_SQRT: _inverse_sqrt,
}
