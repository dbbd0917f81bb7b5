"""Progress as plain log lines, for files, pods and CI."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from finetune_api.data_report import DataReport
from finetune_api.outcome import EvaluationResult, Progress
from finetune_api.report import Parameters, Report
from finetune_api.resolved import Resolved
from finetune_trainer.cli.lines import Lines
from finetune_trainer.cli.messages import (
    checkpoint_line,
    data_line,
    duration,
    evaluation_line,
    model_line,
    progress_line,
    resumed_line,
    summary_lines,
)
from finetune_trainer.observer import Advance, CheckpointStatus, TrainingTotals, Upload

_SECONDS_BETWEEN = 5.0


class PlainObserver:
    """Writes a line per event, and a line every few seconds during training."""

    def __init__(self, stream: TextIO | None = None, seconds_between: float = _SECONDS_BETWEEN) -> None:
        self._lines = Lines(stream or sys.stderr)
        self._seconds_between = seconds_between
        self._last = time.monotonic()
        self._upload: Upload | None = None

    def phase(self, name: str) -> None:
        """Announce a phase."""
        self._write(f"[{name}]")

    def said(self, text: str) -> None:
        """Write a line."""
        self._write(text)

    def warned(self, text: str) -> None:
        """Write a warning."""
        self._write(f"warning: {text}")

    @contextmanager
    def working(self, what: str, total: int) -> Iterator[Advance]:
        """Write a line now and then during a long operation."""
        done, start = 0, time.monotonic()
        self._last = start

        def advance(rows: int) -> None:
            nonlocal done
            done += rows
            if self._is_due():
                self._write(f"{what}: {done}/{total} ({100 * done / max(1, total):.0f} %)")

        yield advance
        if time.monotonic() - start > self._seconds_between:
            self._write(f"{what}: done in {duration(time.monotonic() - start)}")

    def data_ready(self, report: DataReport) -> None:
        """Write the summary of the data."""
        self._write(data_line(report))
        for warning in report.warnings:
            self.warned(warning)

    def model_ready(self, parameters: Parameters, resolved: Resolved, hardware: dict[str, str]) -> None:
        """Write model and hyperparameters."""
        for line in model_line(parameters, resolved, hardware):
            self._write(line)

    def claimed(self, attempt: int) -> None:
        """Write the attempt number, if there were attempts before."""
        if attempt > 1:
            self.said(f"attempt {attempt} at this output")

    def resumed(self, step: int, attempt: int) -> None:
        """Write which checkpoint training resumes from."""
        self._write(resumed_line(step, attempt))

    def checkpointed(self, safe: CheckpointStatus) -> None:
        """Write the committed checkpoint."""
        if safe.upload is not None and safe.upload != self._upload:
            self._upload = safe.upload
            self._write(checkpoint_line(safe.upload))

    def trained(self, progress: Progress, _tally: TrainingTotals) -> None:
        """Write the progress of training, every few seconds and at the end."""
        if self._is_due() or progress.step == progress.total_steps:
            self._write(progress_line(progress))

    def evaluated(self, step: int, metrics: dict[str, float], is_best: bool) -> None:
        """Write the metrics on the validation rows."""
        self._write(evaluation_line(step, metrics, is_best))

    def measured(self, evaluation: EvaluationResult, split: str) -> None:
        """No output: the summary at the end has it all."""

    def finished(self, report: Report, uri: str) -> None:
        """Write the summary."""
        for line in summary_lines(report, uri):
            self._write(line)

    def _is_due(self) -> bool:
        now = time.monotonic()
        if now - self._last < self._seconds_between:
            return False
        self._last = now
        return True

    def _write(self, line: str) -> None:
        self._lines.write(line)
