"""Memory of a job by phase, from its rows, its base model without weights, and its own training step."""

from dataclasses import dataclass

from finetune_api.resolved import Resolved
from finetune_api.tasks import MethodType
from finetune_trainer.estimation.device import Device
from finetune_trainer.estimation.generation import generation_parts
from finetune_trainer.estimation.live_memory import CHECKPOINT, OPTIMIZER, REFERENCE, WEIGHTS, Parts
from finetune_trainer.estimation.passes import evaluation_peak, training_peak
from finetune_trainer.estimation.phases import MemoryEstimate, PassSize, Phase, together
from finetune_trainer.estimation.sizing import Sizing
from finetune_trainer.methods.head_only import HeadOnly
from finetune_trainer.stages.base_model import BaseModel
from finetune_trainer.stages.checking import SampledTokens
from finetune_trainer.tasks.policy_optimization import PolicyOptimization
from finetune_trainer.training.optimizers import embedding_weights, state_bytes


def estimate_memory(
    sampled: SampledTokens, base: BaseModel, resolved: Resolved, device: Device | None = None
) -> MemoryEstimate:
    """Memory of the job by phase.

    Where a pass can't be followed without values (experts that are chosen by value), the result says so, and its
    training has no activations. Raises as `adapted_without_weights` does.
    """
    device = device or Device.of(sampled.task.spec)
    sizing = Sizing.of(sampled, base, resolved, device)
    if sizing.spec.method.merge is not None:
        return _of_merge(sizing)
    with sizing.whole():
        return _estimate(sizing)


def _estimate(sizing: Sizing) -> MemoryEstimate:
    device, kept = sizing.device, _kept(sizing)
    load = Phase("load", kept.weights, kept.weights if device.is_gpu else {})
    try:
        phases, largest = _phases(sizing, kept)
    except (NotImplementedError, RuntimeError, TypeError) as error:
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


def _phases(sizing: Sizing, kept: _Kept) -> tuple[list[Phase], PassSize | None]:
    found, largest = [], None
    if not isinstance(sizing.adapted.model, HeadOnly):
        rows = sizing.rows("train")
        passes, loss = sizing.training_passes(rows), sizing.loss(rows)
        peaks = [
            training_peak(sizing.valueless, loss, rows, part, accumulates=passes.accumulates) for part in passes.parts
        ]
        widest = max(range(len(peaks)), key=lambda place: sum(peaks[place].values()))
        part = passes.parts[widest]
        largest = PassSize(len(part), int(rows.lengths[part].max()))
        found.append(Phase("train", together(peaks[widest], kept.beside)))
    found.append(Phase("evaluate", together(_evaluation(sizing), kept.beside)))
    writing = generation_parts(sizing)
    if writing:
        found.append(Phase("generate", together(kept.weights, writing, kept.beside)))
    return found, largest


def _evaluation(sizing: Sizing) -> Parts:
    rows = sizing.rows(sizing.held_out)
    return evaluation_peak(sizing.valueless, rows, sizing.evaluation_pass(rows), shift=sizing.shift)


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
