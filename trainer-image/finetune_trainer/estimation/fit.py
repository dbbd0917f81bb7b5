"""Whether an estimate fits into a memory, and changes of a job that help."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from finetune_trainer.estimation.live_memory import ACTIVATIONS, CACHE, LOGITS
from finetune_trainer.estimation.phases import MemoryEstimate, PassSize, Phase

CERTAIN, MARGIN = 0.85, 1.15
"""Shares of an estimate: what a job needs in any case, and what it needs with the allocator's unused pieces."""
RUNTIME = {True: 1 << 30, False: 3 << 28}
"""Bytes that PyTorch and its libraries take on a GPU (CUDA context, kernels) and in a process on a CPU."""


class Verdict(StrEnum):
    """Whether a job fits."""

    FITS = "Fits"
    TIGHT = "Tight"
    """It may run out of memory."""
    TOO_LARGE = "TooLarge"
    """It needs clearly more."""


@dataclass(frozen=True)
class Remedy:
    """A change of the spec that lowers the peak."""

    fields: str
    """Fields with their values, as `--set` takes them."""
    estimate: MemoryEstimate

    @property
    def total(self) -> int:
        """Bytes at the peak with it."""
        return self.estimate.peak.total


def verdict_on(estimate: MemoryEstimate, memory: int) -> Verdict:
    """Whether a job with this estimate fits into so many bytes."""
    total = estimate.peak.total
    if CERTAIN * total + RUNTIME[estimate.on_gpu] // 2 > memory:
        return Verdict.TOO_LARGE
    return Verdict.FITS if fits(total, memory, on_gpu=estimate.on_gpu) else Verdict.TIGHT


def fits(total: int, memory: int, *, on_gpu: bool) -> bool:
    """Whether so many bytes of tensors fit, with a margin."""
    return MARGIN * total + RUNTIME[on_gpu] <= memory


SizedPhase = tuple[Phase, PassSize]
"""A phase, and its largest pass."""


def halved_until_it_fits(phase_of: Callable[[int], SizedPhase], most: int, memory: int, *, on_gpu: bool) -> SizedPhase:
    """A phase with passes of at most `most` tokens, halved until it fits as in a run, down to one row."""
    phase, largest = phase_of(most)
    while largest.rows > 1 and not fits(phase.total, memory, on_gpu=on_gpu):
        shrinks = sum(phase.device.get(part, 0) for part in _BY_TOKENS)
        tokens = largest.tokens // 2
        while tokens > largest.length and not fits(
            phase.total - round(shrinks * (1 - tokens / largest.tokens)), memory, on_gpu=on_gpu
        ):
            tokens //= 2
        phase, largest = phase_of(tokens)
    return phase, largest


_BY_TOKENS = (ACTIVATIONS, LOGITS, CACHE)
"""Parts that shrink about like the tokens of a pass."""
