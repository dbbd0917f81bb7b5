import math
from itertools import pairwise

import pytest
import torch
from torch import nn
from transformers import get_scheduler

from finetune_api.training import Scheduler, Training
from finetune_trainer.training.lr_schedule import build_schedule, learning_rate_factor

ENDS = {
    Scheduler.LINEAR: 1 / 90,
    Scheduler.COSINE: 0.5 * (1 - math.cos(math.pi / 90)),
    Scheduler.POLYNOMIAL: 1 / 90**2,
    Scheduler.CONSTANT: 1.0,
    Scheduler.INVERSE_SQRT: math.sqrt(10 / 99),
}
HALF_WAY = {
    Scheduler.LINEAR: 0.5,
    Scheduler.COSINE: 0.5,
    Scheduler.POLYNOMIAL: 0.25,
    Scheduler.CONSTANT: 1.0,
    Scheduler.INVERSE_SQRT: math.sqrt(10 / 55),
}


@pytest.mark.parametrize("scheduler", Scheduler)
def test_shape_of_a_hundred_steps_with_ten_of_warm_up(scheduler: Scheduler) -> None:
    factors = [learning_rate_factor(scheduler, 10, 100)(step) for step in range(100)]
    assert factors[:10] == pytest.approx([(step + 1) / 11 for step in range(10)])
    assert factors[10] == max(factors) == 1
    assert factors[55] == pytest.approx(HALF_WAY[scheduler])
    assert factors[99] == pytest.approx(ENDS[scheduler])
    assert all(later <= earlier for earlier, later in pairwise(factors[10:]))
    assert min(factors) > 0, "no step is wasted"


@pytest.mark.parametrize("scheduler", Scheduler)
@pytest.mark.parametrize(("warmup", "total"), [(0, 1), (1, 1), (0, 2), (5, 5)])
def test_short_runs(scheduler: Scheduler, warmup: int, total: int) -> None:
    factor = learning_rate_factor(scheduler, warmup, total)
    assert all(0 < factor(step) <= 1 for step in range(total))
    assert 0 <= factor(total) <= 1


def test_inverse_sqrt_without_warm_up_falls_by_its_time_scale() -> None:
    """Half of the peak after three times the time scale of 10,000 steps, as in transformers; not within a few steps."""
    factor = learning_rate_factor(Scheduler.INVERSE_SQRT, 0, 100_000)
    assert factor(100) == pytest.approx(math.sqrt(10_000 / 10_100))
    assert factor(30_000) == pytest.approx(0.5)


@pytest.mark.parametrize("scheduler", [one for one in Scheduler if one is not Scheduler.POLYNOMIAL])
def test_schedules_are_those_of_transformers_begun_at_its_step_1(scheduler: Scheduler) -> None:
    name = {Scheduler.CONSTANT: "constant_with_warmup", Scheduler.INVERSE_SQRT: "inverse_sqrt"}
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.5)
    expected = get_scheduler(name.get(scheduler, scheduler.value.lower()), optimizer, 21, 101).lr_lambdas[0]
    factor = learning_rate_factor(scheduler, 20, 100)
    slack = 0.03 if scheduler is Scheduler.INVERSE_SQRT else 1e-9  # its time scale, the warm-up, is 20 and not 21
    for step in (0, 7, 19, 20, 21, 50, 99):
        assert factor(step) == pytest.approx(expected(step + 1), rel=slack)


def test_the_schedule_starts_with_the_first_step() -> None:
    weight = nn.Parameter(torch.ones(2, 2))
    optimizer = torch.optim.SGD([weight], lr=0.5)
    schedule = build_schedule(optimizer, Training(warmup_ratio=0.2), 10)
    rates = []
    for _ in range(10):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx([0.5 / 3, 1 / 3, *(0.5 * left / 8 for left in range(8, 0, -1))])
