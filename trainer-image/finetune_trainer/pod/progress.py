"""`RunProgress`: state of a run for HTTP endpoints. Nothing here ever fails a run."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from finetune_api.data_report import DataReport
from finetune_api.live import Live, Measured
from finetune_api.outcome import Best, EvaluationResult, Progress, cut
from finetune_api.report import Parameters, Report
from finetune_api.resolved import Resolved
from finetune_api.run_file import RunFile
from finetune_api.status import Phase
from finetune_trainer.observer import Advance, CheckpointStatus, TrainingTotals
from finetune_trainer.pod.watchdog import Position

_MOST_WARNINGS = 16
_LONGEST = 1024
_MOST_METRICS = 64
_MOST_CHECKPOINTS = 16
_PHASES = {phase.value: phase for phase in Phase}


def _unheard(_text: str) -> None:
    pass


def _unmoved(_position: Position) -> None:
    pass


class RunProgress:
    """Observer that stores the newest state of a run as one immutable value.

    The run's thread replaces the value, other threads read it; neither ever waits.
    """

    def __init__(
        self,
        order: RunFile,
        beat: Callable[[str], None] = _unheard,
        move_to: Callable[[Position], None] = _unmoved,
    ) -> None:
        """Take the run file (for uid and main metric), and the receivers of changes as text and of the position."""
        self._beat, self._move_to = beat, move_to
        self._metric = order.spec.evaluation.metric
        self.live = Live(uid=order.job.uid)
        self.tally = TrainingTotals()
        self.safe = CheckpointStatus()
        self.measured_on: tuple[str, EvaluationResult] | None = None
        """Split and figures of the final evaluation, once it is done."""

    def phase(self, name: str) -> None:
        """Set the phase."""
        self._set(phase=_PHASES.get(name, self.live.phase), doing="")

    def said(self, text: str) -> None:
        """Count as progress; the log has the text."""
        self._beat(text)

    def warned(self, text: str) -> None:
        """Store the first few warnings."""
        if len(self.live.warnings) < _MOST_WARNINGS:
            self._set(warnings=[*self.live.warnings, cut(text, _LONGEST)])

    @contextmanager
    def working(self, what: str, total: int) -> Iterator[Advance]:
        """Set the current operation and its completed share."""
        done = 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            self._set(doing=f"{what} {100 * done / max(1, total):.0f}%")

        self._set(doing=what)
        try:
            yield advance
        finally:
            self._set(doing="")

    def claimed(self, attempt: int) -> None:
        """Set the attempt."""
        self._set(attempt=attempt)

    def data_ready(self, report: DataReport) -> None:
        """Set the data summary."""
        self._set(data=data_sentence(report))
        for warning in report.warnings:
            self.warned(warning)

    def model_ready(self, parameters: Parameters, resolved: Resolved, hardware: dict[str, str]) -> None:  # noqa: ARG002 -- as all observers
        """Set the resolved values."""
        self._set(resolved=resolved)

    def resumed(self, step: int, attempt: int) -> None:  # noqa: ARG002 -- as all observers
        """Set the step that training resumed from."""
        self._set(resumed_from=step)

    def checkpointed(self, safe: CheckpointStatus) -> None:
        """Set the newest checkpoints."""
        self.safe = safe
        self._set(checkpoints=list(safe.checkpoints[-_MOST_CHECKPOINTS:]), checkpoint_request=safe.answered)

    def trained(self, progress: Progress, tally: TrainingTotals) -> None:
        """Set the training progress."""
        self.tally = tally
        self._set(progress=progress)

    def evaluated(self, step: int, metrics: dict[str, float], is_best: bool) -> None:
        """Set the metrics on the validation rows."""
        self._set(measured=Measured(step=step, metrics=dict(list(metrics.items())[:_MOST_METRICS])))
        value = metrics.get(self._metric)
        if is_best and value is not None:
            self._set(best=Best(step=step, metric=self._metric, value=value))

    def measured(self, evaluation: EvaluationResult, split: str) -> None:
        """Set the metrics on the held-out rows."""
        self.measured_on = (split, evaluation)
        self._set(evaluation=evaluation)

    def finished(self, report: Report, uri: str) -> None:  # noqa: ARG002 -- as all observers
        """Clear the current operation."""
        self._set(doing="")

    def _set(self, **changes: Any) -> None:
        self.live = self.live.model_copy(update=changes)
        live = self.live
        self._move_to(Position(live.attempt, live.progress.step if live.progress else 0, live.resumed_from))
        self._beat(self._at())

    def _at(self) -> str:
        live = self.live
        step = f"step {live.progress.step} of {live.progress.total_steps}" if live.progress is not None else ""
        return ", ".join(filter(None, [str(live.phase or ""), live.doing or step]))


def data_sentence(report: DataReport) -> str:
    """Summary of the data: `451 train, 56 validation and 50 test rows; 2 invalid examples skipped`."""
    parts = [f"{split.rows:,} {name}" for name, split in report.splits.items()]
    rows = " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]])) if parts else "no"
    counts = ((report.bad_rows, "invalid examples skipped"), (report.duplicates_dropped, "duplicates dropped"))
    return cut("; ".join([f"{rows} rows", *(f"{count:,} {what}" for count, what in counts if count)]), _LONGEST)
