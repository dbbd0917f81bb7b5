"""A job of this project, measured: tokens per second after the first steps, held-out loss, peak of training."""

import contextlib
import io
import json
import shutil
import time
from pathlib import Path
from typing import Any

from gpu.held_out import held_out_loss
from gpu.peak_memory import PeakMemory
from gpu.sizes import Size
from gpu.ways import Way, job_of

from finetune_api.job import FineTuneJob
from finetune_trainer.cli.estimate_command import Wanted, estimate_command
from finetune_trainer.cli.plain_progress import PlainObserver
from finetune_trainer.cli.silence_libraries import silence_libraries
from finetune_trainer.run import run_job
from finetune_trainer.storage import Site

_TOGETHER = 0.005
"""Seconds between steps that were reported together."""


class Watch(PlainObserver):
    """Times at which tokens were reported, and the peak of memory after the first steps."""

    def __init__(self, warm_up: int) -> None:
        super().__init__(io.StringIO())
        self._warm_up, self._memory, self._called = warm_up, PeakMemory(), 0.0
        self._marks = list[tuple[float, int]]()
        self.peak = 0

    def data_ready(self, report: Any) -> None:
        """Note the memory before the model is loaded."""
        super().data_ready(report)
        self._memory.before_model()

    def trained(self, progress: Any, tally: Any) -> None:
        """Note when how many tokens were done: of steps that are reported together, the last one counts."""
        super().trained(progress, tally)
        if progress.step < self._warm_up:
            return
        now = time.monotonic()
        if self._marks and now - self._called < _TOGETHER:
            self._marks.pop()
        self._called = now
        self._note_peak()
        self._marks.append((now, tally.tokens))

    def _note_peak(self) -> None:
        self.peak = max(self.peak, self._memory.bytes()) if self._marks else 0
        self._memory.begin()

    @property
    def tokens_per_second(self) -> float:
        """Between the first mark and the last."""
        (start, before), (end, after) = self._marks[0], self._marks[-1]
        return (after - before) / (end - start) if end > start else 0.0


def measure(way: Way, folder: Path, size: Size) -> dict[str, float]:
    """Estimate the job of a way and run it; raises its failure if it fails."""
    silence_libraries()
    shutil.rmtree(folder / "runs", ignore_errors=True)
    file, watch = folder / "job.json", Watch(size.warm_up)
    file.write_text(json.dumps(job_of(way, folder, size)))
    estimated = _estimated(file)
    result = run_job(FineTuneJob.model_validate_json(file.read_text()), Site(folder), "1", watch)
    if result.failure is not None:
        raise result.failure
    loss = held_out_loss(folder, folder / "runs" / "gpu-check" / "1" / "model")
    return {"rate": watch.tokens_per_second, "loss": loss, "peak": watch.peak, "estimated": estimated}


def _estimated(job: Path) -> float:
    """Bytes of training by the product's own estimate (`finetune-trainer estimate JOB --json`)."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        estimate_command(Wanted(str(job), []), as_json=True)
    return float(sum(json.loads(out.getvalue())["phases"]["train"]["device"].values()))
