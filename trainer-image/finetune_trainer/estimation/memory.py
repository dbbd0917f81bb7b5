"""Memory of a job by phase, from its rows, its base model without weights, and its own training step."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from finetune_api.resolved import Resolved
from finetune_api.tasks import MethodType
from finetune_trainer.data.tokenising.batches import cut_by_tokens
from finetune_trainer.estimation.device import Device
from finetune_trainer.estimation.fit import SizedPhase, halved_until_it_fits
from finetune_trainer.estimation.generation import WRITING, generation_parts
from finetune_trainer.estimation.live_memory import CHECKPOINT, OPTIMIZER, REFERENCE, WEIGHTS, Parts
from finetune_trainer.estimation.passes import evaluation_peak, training_peak
from finetune_trainer.estimation.phases import MemoryEstimate, PassSize, Phase, together
from finetune_trainer.estimation.sizing import Sizing
from finetune_trainer.memory.token_budget import INFERENCE_TOKENS, TRAINING_TOKENS
from finetune_trainer.methods.head_only import HeadOnly
from finetune_trainer.stages.base_model import BaseModel
from finetune_trainer.stages.checking import SampledTokens
from finetune_trainer.tasks.policy_optimization import PolicyOptimization
from finetune_trainer.training.optimizers import embedding_weights, state_bytes

_UNLIMITED = 1 << 62


def estimate_memory(
    sampled: SampledTokens, base: BaseModel, resolved: Resolved, device: Device, memory: int | None = None
) -> MemoryEstimate:
    """Memory of the job by phase; passes are halved as in a run until they fit into `memory` bytes, if that is known.

    Where a pass can't be followed without values (experts that are chosen by value), the result says so, and its
    training has no activations. Raises as `adapted_without_weights` does.
    """
    sizing = Sizing.of(sampled, base, resolved, device)
    if sizing.spec.method.merge is not None:
        return _of_merge(sizing)
    with sizing.whole():
        return _estimate(sizing, _UNLIMITED if memory is None else memory)


def _estimate(sizing: Sizing, memory: int) -> MemoryEstimate:
    device, kept = sizing.device, _kept(sizing)
    load = Phase("load", kept.weights, kept.weights if device.is_gpu else {})
    try:
        phases, largest = _phases(sizing, kept, memory)
    except Exception as error:  # noqa: BLE001 -- what can't be followed may run all the same
        why = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"[:160]
        return MemoryEstimate((load, Phase("train", together(kept.weights, kept.beside))), device.is_gpu, None, why)
    return MemoryEstimate((load, *phases, _checkpoint(sizing, kept)), device.is_gpu, largest)


@dataclass(frozen=True)
class _Kept:
    """What stays on the device as long as training lasts, and what is copied for a checkpoint."""

    weights: Parts
    beside: Parts
    """Optimizer states, and a reference model."""
    copy: int
    """Bytes of a checkpoint: trained weights, optimizer states, and the best weights."""


def _kept(sizing: Sizing) -> _Kept:
    valueless, spec = sizing.valueless, sizing.spec
    weights = valueless.weights()
    with valueless.swapped():
        embeddings = embedding_weights(valueless.model)
        trained = valueless.trained
        kind = spec.training.optimizer
        states = [state_bytes(kind, tuple(one.shape), is_embedding=id(one) in embeddings) for one in trained]
        size = sum(one.nbytes for one in trained)
    beside = {OPTIMIZER: 0 if sizing.resolved.penalties else sum(states)}
    if isinstance(sizing.task, PolicyOptimization) and spec.method.type is MethodType.FULL:
        beside[REFERENCE] = sum(weights.values()) if sizing.task.settings.kl_price else 0
    best = size if "validation" in sizing.sampled.tokens else 0
    return _Kept(weights, beside, size + sum(states) + best)


def _phases(sizing: Sizing, kept: _Kept, memory: int) -> tuple[list[Phase], PassSize | None]:
    kind, on_gpu = sizing.device.kind, sizing.device.is_gpu
    found, largest = [], None
    if not isinstance(sizing.adapted.model, HeadOnly):
        room = _UNLIMITED if sizing.spec.training.per_device_batch_size else memory
        train = partial(_training, sizing, kept)
        phase, largest = halved_until_it_fits(train, TRAINING_TOKENS[kind], room, on_gpu=on_gpu)
        found.append(phase)
    of_inference = [_evaluation, *([_generation] if sizing.spec.task in WRITING else [])]
    for phase_of in of_inference:
        phase, _ = halved_until_it_fits(partial(phase_of, sizing, kept), INFERENCE_TOKENS[kind], memory, on_gpu=on_gpu)
        found.append(phase)
    return found, largest


def _training(sizing: Sizing, kept: _Kept, most_tokens: int) -> SizedPhase:
    rows = sizing.rows("train")
    passes, loss = sizing.training_passes(rows, most_tokens), sizing.loss(rows)
    peaks = [training_peak(sizing.valueless, loss, rows, part, accumulates=passes.accumulates) for part in passes.parts]
    place = max(range(len(peaks)), key=lambda place: sum(peaks[place].values()))
    part = passes.parts[place]
    size = PassSize(len(part), int(rows.lengths[part].max()))
    return Phase("train", together(peaks[place], kept.beside)), size


def _evaluation(sizing: Sizing, kept: _Kept, most_tokens: int) -> SizedPhase:
    rows = sizing.rows(sizing.held_out)
    parts = cut_by_tokens(np.arange(len(rows.lengths)), rows.lengths, most_tokens)
    part = max(parts, key=lambda part: len(part) * int(rows.lengths[part].max()))
    peak = evaluation_peak(sizing.valueless, rows, part, shift=sizing.shift)
    return Phase("evaluate", together(peak, kept.beside)), PassSize(len(part), int(rows.lengths[part].max()))


def _generation(sizing: Sizing, kept: _Kept, most_tokens: int) -> SizedPhase:
    written, size = generation_parts(sizing, most_tokens)
    return Phase("generate", together(kept.weights, written, kept.beside)), size


def _checkpoint(sizing: Sizing, kept: _Kept) -> Phase:
    """A checkpoint is taken between two steps, by copies in main memory."""
    held, copy = together(kept.weights, kept.beside), {CHECKPOINT: kept.copy}
    return Phase("checkpoint", held, copy) if sizing.device.is_gpu else Phase("checkpoint", together(held, copy))


def _of_merge(sizing: Sizing) -> MemoryEstimate:
    """A merge adds the changes of one result after the other to a base in FP32."""
    merge = sizing.spec.method.merge
    weights = sizing.valueless.weights().get(WEIGHTS, 0)
    sources = 0 if merge is None else len(merge.sources)
    return MemoryEstimate((Phase("merge", {WEIGHTS: weights * (1 + sources)}),), on_gpu=False)
