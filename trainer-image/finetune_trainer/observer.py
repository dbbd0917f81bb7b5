"""What a run tells while it works. The command line shows it; the pod will serve it as metrics."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from finetune_api.outcome import Progress
from finetune_api.report import DataReport, Parameters, Report
from finetune_api.resolved import Resolved

Advance = Callable[[int], None]


class RunObserver(Protocol):
    """Who wants to know how a run goes."""

    def phase(self, name: str) -> None:
        """A phase begins: Validating, Starting, Training, Evaluating or Exporting."""

    def said(self, text: str) -> None:
        """Something worth a line."""

    def warned(self, text: str) -> None:
        """Something a careful person would look at."""

    def working(self, what: str, total: int) -> AbstractContextManager[Advance]:
        """Something long begins: `total` rows, of which the callable is told how many more are done."""

    def data_ready(self, report: DataReport) -> None:
        """The data is read and checked."""

    def model_ready(self, parameters: Parameters, resolved: Resolved, hardware: dict[str, str]) -> None:
        """The model is loaded; training can begin."""

    def trained(self, progress: Progress) -> None:
        """An optimiser step is done."""

    def evaluated(self, step: int, metrics: dict[str, float], is_best: bool) -> None:
        """The model was measured on the validation rows."""

    def finished(self, report: Report, uri: str) -> None:
        """The run is over, well or not, and its output is at `uri`."""
