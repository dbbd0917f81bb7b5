"""`MemoryEstimate`: bytes by phase and part, on the device that trains and on the host."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from finetune_trainer.estimation.live_memory import Parts


@dataclass(frozen=True)
class Phase:
    """Memory of one phase of a run at its peak."""

    name: str
    """`load`, `train`, `evaluate`, `generate`, `export`."""
    device: Parts
    """Bytes by part on the device that trains."""
    host: Parts = field(default_factory=dict)
    """Bytes by part in main memory; empty where the device is the CPU, whose memory has all parts."""

    @property
    def total(self) -> int:
        """Bytes on the device."""
        return sum(self.device.values())


@dataclass(frozen=True)
class PassSize:
    """Size of the largest forward and backward pass."""

    rows: int
    length: int
    """Tokens of its longest row."""

    @property
    def tokens(self) -> int:
        """Padded tokens."""
        return self.rows * self.length


@dataclass(frozen=True)
class MemoryEstimate:
    """Memory of a whole job."""

    phases: tuple[Phase, ...]
    on_gpu: bool
    largest: PassSize | None = None
    """The largest training pass; None where nothing is trained in passes."""
    unknown: str = ""
    """Why activations are not known; empty where they are."""

    @property
    def peak(self) -> Phase:
        """The phase that needs most on the device."""
        return max(self.phases, key=lambda phase: phase.total)

    @property
    def host(self) -> int:
        """Most bytes in main memory beside those of a device; 0 where the CPU is the device."""
        return max((sum(phase.host.values()) for phase in self.phases), default=0)

    def as_json(self) -> dict[str, Any]:
        """The figures for programs, in bytes."""
        return {
            "device": "GPU" if self.on_gpu else "CPU",
            "peakBytes": self.peak.total,
            "peakPhase": self.peak.name,
            "hostBytes": self.host,
            "largestPass": None if self.largest is None else vars(self.largest) | {"tokens": self.largest.tokens},
            "phases": {phase.name: {"device": dict(phase.device), "host": dict(phase.host)} for phase in self.phases},
            "unknown": self.unknown or None,
        }


def together(*parts: Mapping[str, int]) -> dict[str, int]:
    """Sum of bytes by part, without empty ones."""
    names = dict.fromkeys(name for one in parts for name in one)
    sums = {name: sum(one.get(name, 0) for one in parts) for name in names}
    return {name: count for name, count in sums.items() if count}
