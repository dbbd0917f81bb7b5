"""Checks of source weights, prefixes and embedding noise."""

from collections.abc import Iterator

from finetune_api.addresses import data_sources
from finetune_api.failures import Problem
from finetune_api.spec import Spec
from finetune_api.tasks import MethodType, Task

_PREFIXED = (Task.SEQ2SEQ, Task.CAUSAL_LM)


def mixing_problems(spec: Spec) -> Iterator[Problem]:
    """Yield a problem for each weight, prefix or noise setting that is invalid or has no effect."""
    for path, source in data_sources(spec):
        if source.weight is not None and not path.startswith("spec.data.train"):
            yield Problem("weights are for training rows only", f"{path}.weight", "remove it")
        if source.prefix and spec.task not in _PREFIXED:
            message = f"{spec.task} has no use for a prefix"
            yield Problem(message, f"{path}.prefix", f"remove it; it is for {', '.join(_PREFIXED)}")
    if spec.training.neftune_noise_alpha and spec.method.type is MethodType.FEATURE_EXTRACTION:
        message = "the base is frozen and runs once a row, so noise on its input would only spoil it"
        yield Problem(message, "spec.training.neftuneNoiseAlpha", "remove it, or use method LoRA or Full")
