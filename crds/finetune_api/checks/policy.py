"""Checks of `PolicyOptimization`: a reward is required, settings that distort sampled answers are rejected."""

from collections.abc import Iterator

from finetune_api.failures import Problem
from finetune_api.spec import Spec
from finetune_api.tasks import Task

_POLICY = "spec.training.policy"
_BLURRING = {
    "label_smoothing": ("labelSmoothing", "there are no labels to smooth: answers are rewarded"),
    "neftune_noise_alpha": (
        "neftuneNoiseAlpha",
        "noise on the input changes the probabilities that answers are weighed by",
    ),
}


def policy_problems(spec: Spec) -> Iterator[Problem]:
    """Yield a problem for a missing reward, and for `training` settings that do not apply."""
    if spec.task is not Task.POLICY_OPTIMIZATION:
        return
    if spec.training.policy is None:
        hint = "for example policy: {reward: {type: NumberMatch}}, with the expected answers in data.columns.completion"
        yield Problem("nothing says what an answer is worth", _POLICY, hint)
    for name, (field, why) in _BLURRING.items():
        if getattr(spec.training, name):
            yield Problem(why, f"spec.training.{field}", "remove it")
