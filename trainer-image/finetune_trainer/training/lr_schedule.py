"""Learning-rate schedules of transformers, counted so that no step is spent on a rate of 0."""

import math
from collections.abc import Callable

import torch

from finetune_api.training import Scheduler, Training


def build_schedule(
    optimizer: torch.optim.Optimizer, training: Training, total_steps: int
) -> torch.optim.lr_scheduler.LambdaLR:
    """`LambdaLR` with warm-up to the peak, then `training.lrSchedulerType`."""
    warmup = math.ceil(training.warmup_ratio * total_steps)
    return torch.optim.lr_scheduler.LambdaLR(
        optimizer, learning_rate_factor(training.lr_scheduler_type, warmup, total_steps)
    )


def learning_rate_factor(scheduler: Scheduler, warmup: int, total: int) -> Callable[[int], float]:
    """The learning rate of step `n` (from 0) as a share of its peak, by the schedule of transformers.

    Its count begins at 1, so that with a warm-up no step is spent on a rate of 0.
    """
    from transformers import get_scheduler

    own = {Scheduler.POLYNOMIAL: {"lr_end": 0.0, "power": 2.0}}
    own[Scheduler.INVERSE_SQRT] = {"timescale": warmup or _TIMESCALE}
    schedule = get_scheduler(
        _NAMES[scheduler],
        torch.optim.SGD([torch.zeros(1)], lr=1.0),
        num_warmup_steps=warmup + 1,
        num_training_steps=max(total, warmup + 1) + 1,
        scheduler_specific_kwargs=own.get(scheduler),
    )
    (factor,) = schedule.lr_lambdas
    return lambda step: float(factor(step + 1))


_TIMESCALE = 10_000
"""Steps after which `InverseSqrt` begins to fall where there is no warm-up, as in transformers."""
_NAMES = {
    Scheduler.LINEAR: "linear",
    Scheduler.COSINE: "cosine",
    Scheduler.POLYNOMIAL: "polynomial",
    Scheduler.CONSTANT: "constant_with_warmup",
    Scheduler.INVERSE_SQRT: "inverse_sqrt",
}
"""Names of the schedules in transformers (`SchedulerType`)."""
