"""Checks of preference pairs: label smoothing that losses do not support."""

from collections.abc import Iterator

from finetune_api.failures import Problem
from finetune_api.preference import Preference
from finetune_api.spec import Spec
from finetune_api.tasks import Task

_WHERE = "spec.training.labelSmoothing"
_HALF = 0.5


def pair_problems(spec: Spec) -> Iterator[Problem]:
    """Yield a problem for label smoothing that would invert the pairs, or that the loss ignores."""
    smoothing = spec.training.label_smoothing
    if spec.task not in (Task.PREFERENCE, Task.REWARD_MODEL) or not smoothing:
        return
    if smoothing >= _HALF:
        yield Problem(
            f"{smoothing:g} says that half of the pairs or more are the wrong way round",
            _WHERE,
            "use less than 0.5, or swap data.columns.chosen and rejected",
        )
    settings = spec.training.preference or Preference()
    if spec.task is Task.PREFERENCE and not settings.can_be_smoothed:
        yield Problem(f"loss {settings.loss} can't be smoothed", _WHERE, "remove it, or use loss DPO or SimPO")
