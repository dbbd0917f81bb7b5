"""Changes of a job that lower its memory, each with its estimate; only such as the job can have."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from finetune_api.failures import JobFailure
from finetune_api.resolved import Resolved
from finetune_api.spec import Spec
from finetune_api.tasks import BUILT, MethodType
from finetune_api.training import Optimizer, Precision
from finetune_trainer.data.tokenising.tokens import Tokens
from finetune_trainer.estimation.device import Device
from finetune_trainer.estimation.fit import Remedy
from finetune_trainer.estimation.memory import estimate_memory
from finetune_trainer.estimation.phases import MemoryEstimate
from finetune_trainer.stages.base_model import BaseModel
from finetune_trainer.stages.checking import SampledTokens

_SMALLER_METHODS = (MethodType.LORA, MethodType.QLORA)
_LESS = 0.98
"""Share of the peak above which a change is no remedy."""
_LEAST_LENGTH = 128


def remedies(
    sampled: SampledTokens, base: BaseModel, resolved: Resolved, device: Device, *, now: MemoryEstimate, memory: int
) -> list[Remedy]:
    """What lowers the peak of `now` in so many bytes of memory, the most effective change first."""
    found = []
    for fields, changed, limits in _changes(sampled, resolved, device):
        try:
            estimate = estimate_memory(changed, base, limits, device, memory)
        except JobFailure:  # the model can't have that
            continue
        if not estimate.unknown and estimate.peak.total < _LESS * now.peak.total:
            found.append(Remedy(fields, estimate))
    return sorted(found, key=lambda remedy: remedy.total)


def _changes(
    sampled: SampledTokens, resolved: Resolved, device: Device
) -> Iterator[tuple[str, SampledTokens, Resolved]]:
    spec = sampled.task.spec
    for fields, changed in _specs(spec, device):
        yield fields, _with_spec(sampled, changed), resolved
    half = resolved.max_length // 2
    if half >= _LEAST_LENGTH and not sampled.tokens["train"].texts_a_row > 1:
        shorter = {split: cut(tokens, half) for split, tokens in sampled.tokens.items()}
        limits = resolved.model_copy(update={"max_length": half})
        yield f"data.maxLength={half}", replace(sampled, tokens=shorter), limits


def _specs(spec: Spec, device: Device) -> Iterator[tuple[str, Spec]]:
    method, training = spec.method.type, spec.training
    for smaller in _SMALLER_METHODS[_SMALLER_METHODS.index(method) + 1 if method in _SMALLER_METHODS else 0 :]:
        if smaller in BUILT[spec.task] and method in (MethodType.FULL, MethodType.LORA):
            changed = spec.method.model_copy(update={"type": smaller, "full": None, "lora": None, "qlora": None})
            yield f"method.type={smaller}", spec.model_copy(update={"method": changed})
    if method is MethodType.FULL and training.optimizer is Optimizer.ADAMW:
        for optimizer in (Optimizer.ADAMW_8BIT, Optimizer.ADAFACTOR):
            yield f"training.optimizer={optimizer}", _training(spec, optimizer=optimizer)
    if not training.activation_checkpointing and method is not MethodType.FEATURE_EXTRACTION:
        yield "training.activationCheckpointing=true", _training(spec, activation_checkpointing=True)
    if training.per_device_batch_size > 1:
        yield "training.perDeviceBatchSize=1", _training(spec, per_device_batch_size=1)
    if device.is_gpu and training.precision is Precision.FP32:
        yield "training.precision=BF16", _training(spec, precision=Precision.BF16)


def _training(spec: Spec, **values: Any) -> Spec:
    return spec.model_copy(update={"training": spec.training.model_copy(update=values)})


def _with_spec(sampled: SampledTokens, spec: Spec) -> SampledTokens:
    return replace(sampled, task=replace(sampled.task, spec=spec))


def cut(tokens: Tokens, length: int) -> Tokens:
    """Texts of at most `length` tokens each: what a lower `maxLength` leaves, as far as sizes go."""
    keep = np.minimum(tokens.lengths, length)
    places = np.concatenate([np.arange(start, start + kept) for start, kept in zip(tokens.offsets, keep, strict=False)])

    def cells(values: Any) -> Any:
        return None if values is None else values[places]

    return replace(
        tokens,
        ids=tokens.ids[places],
        offsets=np.concatenate([[0], np.cumsum(keep)]),
        types=cells(tokens.types),
        labels=cells(tokens.labels),
    )
