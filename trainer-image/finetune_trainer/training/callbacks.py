"""Callbacks of the training loop: progress and metrics, and checkpoints between steps."""

from collections.abc import Callable
from typing import Protocol

from finetune_api.outcome import Progress
from finetune_trainer.checkpoints.snapshot import Snapshot
from finetune_trainer.observer import TrainingTotals


class TrainingObserver(Protocol):
    """Callbacks of the training loop, for progress and metrics."""

    def trained(self, progress: Progress, tally: TrainingTotals) -> None:
        """Called after each optimiser step."""

    def evaluated(self, step: int, metrics: dict[str, float], is_best: bool) -> None:
        """Called after each evaluation on the validation rows."""

    def warned(self, text: str) -> None:
        """Called with a warning."""


class StepCallback(Protocol):
    """Called between steps to save training states."""

    def check(self) -> None:
        """Called after each step. Raises failures of saving."""

    def is_due(self, step: int) -> bool:
        """Whether the state after `step` is to be saved."""

    def keep(self, take: Callable[[], Snapshot]) -> None:
        """Save the state that `take` copies."""


class NoCheckpoints:
    """A `StepCallback` that saves nothing."""

    def check(self) -> None:
        """No failures."""

    def is_due(self, _step: int) -> bool:
        """Never."""
        return False

    def keep(self, _take: Callable[[], Snapshot]) -> None:
        """Saves nothing."""
