"""Whether an estimate fits into a memory, and changes of a job that help."""

from dataclasses import dataclass
from enum import StrEnum

from finetune_trainer.estimation.phases import MemoryEstimate

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
    total, runtime = estimate.peak.total, RUNTIME[estimate.on_gpu]
    if CERTAIN * total + runtime // 2 > memory:
        return Verdict.TOO_LARGE
    return Verdict.TIGHT if MARGIN * total + runtime > memory else Verdict.FITS
