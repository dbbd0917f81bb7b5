"""`RunObserver`: events of a run, for the command line and for pod metrics."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Protocol

from finetune_api.data_report import DataReport
from finetune_api.outcome import EvaluationResult, Progress
from finetune_api.report import Parameters, Report
from finetune_api.resolved import Resolved
from finetune_api.status import CheckpointInfo
from finetune_trainer.signals import StopToken

Advance = Callable[[int], None]


def no_progress(_rows: int) -> None:
    """An `Advance` that reports nothing."""


def no_notice(_text: str) -> None:
    """Says nothing."""


@dataclass(frozen=True)
class PassLimit:
    """Tokens of passes that turned out to fit into memory, by kind of pass; said once for each."""

    said: Callable[[str], None] = no_notice
    tokens: dict[str, int] = field(default_factory=dict)
    """None of a kind while all its passes fit."""

    def halve(self, kind: str, tokens: int) -> int:
        """Limit passes of a kind to half of `tokens`, which did not fit; returns that half."""
        if kind not in self.tokens:
            self.said(f"a pass of {tokens} tokens ({kind}) does not fit into memory: passes are halved")
        self.tokens[kind] = max(1, tokens // 2)
        return self.tokens[kind]


@dataclass(frozen=True)
class Monitor:
    """Progress callback and stop token of a long pass over rows."""

    advance: Advance = no_progress
    stop: StopToken = field(default_factory=StopToken)
    limit: PassLimit = field(default_factory=PassLimit)

    def without_progress(self) -> "Monitor":
        """The same stop token without progress reports."""
        return replace(self, advance=no_progress)


@dataclass(frozen=True)
class TrainingTotals:
    """Cumulative counts of training so far."""

    samples: int = 0
    """Rows, one more each time that it is trained on."""
    tokens: int = 0
    """Their tokens, padding not counted."""
    gradient_norm: float = 0.0
    """Norm of the last step's gradient, before clipping."""
    figures: Mapping[str, float] = field(default_factory=dict)
    """Further figures of the last step, of losses that have some."""


@dataclass(frozen=True)
class Upload:
    """A checkpoint that was just committed."""

    step: int
    """Optimiser step."""
    size: int
    """Bytes of all its files."""
    seconds: float
    """Time from its being handed over until its manifest was there."""


@dataclass(frozen=True)
class CheckpointStatus:
    """Committed checkpoints and answered requests."""

    checkpoints: tuple[CheckpointInfo, ...] = ()
    """Committed checkpoints that are still there, oldest first."""
    upload: Upload | None = None
    """The newest one of this attempt."""
    answered: str = ""
    """The newest request for a checkpoint that was carried out."""


class RunObserver(Protocol):
    """Interface of observers of a run."""

    def phase(self, name: str) -> None:
        """A phase begins: Validating, Starting, Training, Evaluating or Exporting."""

    def said(self, text: str) -> None:
        """A message."""

    def warned(self, text: str) -> None:
        """A warning."""

    def working(self, what: str, total: int) -> AbstractContextManager[Advance]:
        """A long operation begins, of `total` rows; the returned callable takes the number of further rows done."""

    def data_ready(self, report: DataReport) -> None:
        """The data has been read and checked."""

    def model_ready(self, parameters: Parameters, resolved: Resolved, hardware: dict[str, str]) -> None:
        """The model is loaded; training begins."""

    def claimed(self, attempt: int) -> None:
        """The run has claimed its output, under that attempt number."""

    def resumed(self, step: int, attempt: int) -> None:
        """Training resumes from a checkpoint that `attempt` saved after `step`."""

    def checkpointed(self, safe: CheckpointStatus) -> None:
        """A checkpoint was committed, a request carried out, or an older one deleted."""

    def trained(self, progress: Progress, tally: TrainingTotals) -> None:
        """An optimizer step is done."""

    def evaluated(self, step: int, metrics: dict[str, float], is_best: bool) -> None:
        """An evaluation on the validation rows is done."""

    def measured(self, evaluation: EvaluationResult, split: str) -> None:
        """The evaluation of the tuned model on the held-out rows of `split` is done."""

    def finished(self, report: Report, uri: str) -> None:
        """The run has ended, successfully or not, with its output at `uri`."""
