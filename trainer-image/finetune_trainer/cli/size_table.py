"""Estimate of a job as lines of text, at most 80 columns wide. Pure: values in, lines out."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from finetune_trainer.cli.messages import duration
from finetune_trainer.cli.plan_summary import aligned
from finetune_trainer.estimation.fit import RUNTIME, Verdict, verdict_on
from finetune_trainer.estimation.phases import MemoryEstimate
from finetune_trainer.estimation.units import binary

if TYPE_CHECKING:
    from finetune_trainer.estimation.job_size import JobSize

_WORDS = {Verdict.FITS: "fits", Verdict.TIGHT: "tight, it may run out of memory", Verdict.TOO_LARGE: "too large"}


def size_lines(size: "JobSize") -> list[str]:
    """Memory by part and phase, what there is, remedies, and the time."""
    return [*memory_table(size.estimate), *_verdict(size), *_time(size)]


def memory_table(estimate: MemoryEstimate) -> list[str]:
    """A column a phase, a row a part."""
    phases = estimate.phases
    names = dict.fromkeys(name for phase in phases for name in phase.device)
    where = "GPU memory" if estimate.on_gpu else "memory"
    rows = [[where, *(phase.name for phase in phases)]]
    rows += [[f"  {name}", *(_cell(phase.device.get(name, 0)) for phase in phases)] for name in names]
    rows.append(["  in all", *(binary(phase.total) for phase in phases)])
    if any(phase.host for phase in phases):
        rows.append(["main memory, beside", *(_cell(sum(phase.host.values())) for phase in phases)])
    lines = aligned(rows)
    if estimate.largest is not None:
        largest = estimate.largest
        lines.append(f"largest pass in training: {largest.rows:,} rows of up to {largest.length:,} tokens")
    if estimate.unknown:
        lines.append(f"activations are not known: {estimate.unknown}")
    return lines


def _verdict(size: "JobSize") -> Iterator[str]:
    peak, memory = size.estimate.peak, size.memory
    runtime = binary(RUNTIME[size.estimate.on_gpu])
    yield f"peak: {binary(peak.total)} ({peak.name}), and about {runtime} of PyTorch and its libraries"
    if memory is None:
        yield "memory there is: not known; name it by --memory, for example 24Gi"
        return
    verdict = size.verdict
    words = "can't be said" if verdict is None else _WORDS[verdict]
    yield f"memory there is: {binary(memory.size)} ({memory.source}): {words}"
    rows = [
        [f"  --set {one.fields}", binary(one.total), verdict_on(one.estimate, memory.size).lower()]
        for one in size.remedies
    ]
    if rows:
        yield "changes that lower the peak:"
        yield from aligned(rows)


def _time(size: "JobSize") -> Iterator[str]:
    work = size.work
    if work is None:
        return
    yield f"training: {work.steps:,} steps, {work.tokens:,} tokens at most"
    if work.seconds is None or work.rate is None:
        yield "time: not known; give tokens per second or the folder of a run by --rate"
    else:
        yield f"time: {duration(work.seconds)} at {work.rate:,.0f} tokens/s, evaluations left out"


def _cell(count: int) -> str:
    return binary(count) if count else "-"
