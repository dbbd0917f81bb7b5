"""`JobSize`: memory and work of a job, and whether it fits into the memory there is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch

from finetune_api.failures import ModelDoesNotFit, Problem
from finetune_api.resolved import Resolved
from finetune_api.spec import Spec
from finetune_trainer.estimation.device import Device
from finetune_trainer.estimation.fit import Remedy, Verdict, verdict_on
from finetune_trainer.estimation.machine import main_memory
from finetune_trainer.estimation.memory import estimate_memory
from finetune_trainer.estimation.phases import MemoryEstimate
from finetune_trainer.estimation.remedies import remedies
from finetune_trainer.estimation.units import binary
from finetune_trainer.estimation.work import Work, work_of
from finetune_trainer.stages.base_model import BaseModel
from finetune_trainer.stages.checking import SampledTokens

_SHOWN = 4


@dataclass(frozen=True)
class Memory:
    """The memory of the device that a job trains on."""

    size: int
    """Bytes."""
    source: str
    """Who says so, for messages."""


@dataclass(frozen=True)
class JobSize:
    """A job's estimate beside the memory there is."""

    estimate: MemoryEstimate
    work: Work | None
    """None where nothing is trained."""
    memory: Memory | None
    """None where it is not known."""
    find_remedies: Callable[[], Sequence[Remedy]]

    @property
    def verdict(self) -> Verdict | None:
        """Whether the job fits; None where that can't be said."""
        if self.memory is None:
            return None
        found = verdict_on(self.estimate, self.memory.size)
        return None if self.estimate.unknown and found is not Verdict.TOO_LARGE else found

    @property
    def line(self) -> str:
        """The peak and its parts in one line."""
        peak = self.estimate.peak
        parts = ", ".join(
            f"{name} {binary(count)}" for name, count in sorted(peak.device.items(), key=lambda part: -part[1])
        )
        return f"{binary(peak.total)} of {'GPU ' if self.estimate.on_gpu else ''}memory ({peak.name}): {parts}"

    @cached_property
    def remedies(self) -> Sequence[Remedy]:
        """What lowers the peak, by falling effect; empty where the job fits, or the memory is not known."""
        return () if self.verdict in (None, Verdict.FITS) else self.find_remedies()

    def check(self) -> None:
        """Raise `ModelDoesNotFit` for a job that needs clearly more memory than there is."""
        if self.verdict is not Verdict.TOO_LARGE or self.memory is None:
            return
        hint = "; ".join(f"{one.fields} ({binary(one.total)})" for one in self.remedies[:_SHOWN])
        message = f"the job needs {self.line}; there are {binary(self.memory.size)} {self.memory.source}"
        raise ModelDoesNotFit(Problem(message, "spec", hint or "use a smaller model, or more memory"))

    @property
    def warning(self) -> str:
        """Warning about a job that may run out of memory; empty where it fits."""
        if self.verdict in (None, Verdict.FITS) or self.memory is None:
            return ""
        kind = "clearly more than" if self.verdict is Verdict.TOO_LARGE else "close to, or above,"
        return f"The job needs {self.line}; that is {kind} the {binary(self.memory.size)} {self.memory.source}."

    def as_json(self) -> dict[str, Any]:
        """For programs, in bytes."""
        memory = None if self.memory is None else vars(self.memory)
        return {
            **self.estimate.as_json(),
            "memory": memory,
            "verdict": self.verdict,
            "remedies": [{"set": one.fields, "peakBytes": one.total} for one in self.remedies],
            "work": None if self.work is None else self.work.as_json(),
        }


def size_job(sampled: SampledTokens, base: BaseModel, resolved: Resolved, memory: Memory | None) -> JobSize:
    """Memory and work of a job that passed `check_model`."""
    device = Device.of(sampled.task.spec)
    size = None if memory is None else memory.size
    estimate = estimate_memory(sampled, base, resolved, device, size)
    find = partial(remedies, sampled, base, resolved, device, now=estimate, memory=size or 0)
    return JobSize(estimate, work_of(sampled, resolved), memory, find)


def memory_here(spec: Spec) -> Memory | None:
    """Memory of this machine's GPU, or of the machine; None for a job that asks for a GPU that is not here."""
    if torch.cuda.is_available():
        return Memory(int(torch.cuda.get_device_properties(0).total_memory), "of this GPU")
    return None if spec.compute.gpus_per_node else Memory(main_memory(), "of this machine")
