"""`Observers`: several observers of one run."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from finetune_api.data_report import DataReport
from finetune_api.outcome import EvaluationResult, Progress
from finetune_api.report import Parameters, Report
from finetune_api.resolved import Resolved
from finetune_trainer.observer import Advance, CheckpointStatus, RunObserver, TrainingTotals


class Observers:
    """Forwards every event to each observer, in order."""

    def __init__(self, *observers: RunObserver) -> None:
        self._all = observers

    def phase(self, name: str) -> None:
        """See `RunObserver.phase`."""
        for observer in self._all:
            observer.phase(name)

    def said(self, text: str) -> None:
        """See `RunObserver.said`."""
        for observer in self._all:
            observer.said(text)

    def warned(self, text: str) -> None:
        """See `RunObserver.warned`."""
        for observer in self._all:
            observer.warned(text)

    @contextmanager
    def working(self, what: str, total: int) -> Iterator[Advance]:
        """See `RunObserver.working`."""
        with ExitStack() as stack:
            parts = [stack.enter_context(observer.working(what, total)) for observer in self._all]

            def advance(rows: int) -> None:
                for part in parts:
                    part(rows)

            yield advance

    def claimed(self, attempt: int) -> None:
        """See `RunObserver.claimed`."""
        for observer in self._all:
            observer.claimed(attempt)

    def data_ready(self, report: DataReport) -> None:
        """See `RunObserver.data_ready`."""
        for observer in self._all:
            observer.data_ready(report)

    def model_ready(self, parameters: Parameters, resolved: Resolved, hardware: dict[str, str]) -> None:
        """See `RunObserver.model_ready`."""
        for observer in self._all:
            observer.model_ready(parameters, resolved, hardware)

    def resumed(self, step: int, attempt: int) -> None:
        """See `RunObserver.resumed`."""
        for observer in self._all:
            observer.resumed(step, attempt)

    def checkpointed(self, safe: CheckpointStatus) -> None:
        """See `RunObserver.checkpointed`."""
        for observer in self._all:
            observer.checkpointed(safe)

    def trained(self, progress: Progress, tally: TrainingTotals) -> None:
        """See `RunObserver.trained`."""
        for observer in self._all:
            observer.trained(progress, tally)

    def evaluated(self, step: int, metrics: dict[str, float], is_best: bool) -> None:
        """See `RunObserver.evaluated`."""
        for observer in self._all:
            observer.evaluated(step, metrics, is_best)

    def measured(self, evaluation: EvaluationResult, split: str) -> None:
        """See `RunObserver.measured`."""
        for observer in self._all:
            observer.measured(evaluation, split)

    def finished(self, report: Report, uri: str) -> None:
        """See `RunObserver.finished`."""
        for observer in self._all:
            observer.finished(report, uri)
