"""Throughput: rows and tokens per second without evaluations, and the time left."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict

from finetune_api.outcome import Progress
from finetune_trainer.data.tokenising.batches import Volume
from finetune_trainer.observer import TrainingTotals


class Work(BaseModel):
    """Amount of work and its duration, as a value."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows: float = 0
    tokens: float = 0
    """Tokens of the rows, padding not counted."""
    padded: float = 0
    """Tokens that went through the model, padding counted."""
    seconds: float = 0
    """Time from the first step on, all attempts together."""
    paused: float = 0
    """Seconds of it that went into evaluations."""


class ThroughputMeter:
    """Measures rows and tokens per second; evaluations are excluded.

    What earlier attempts did counts like this one's own, so rates stay true.
    """

    def __init__(self, total_steps: int) -> None:
        self._total_steps = total_steps
        self._before, self._started = 0.0, time.monotonic()
        self._pause = self._rows = self._tokens = self._padded = 0.0

    def start(self) -> None:
        """Start the clock of this attempt."""
        self._started = time.monotonic()

    def state(self) -> Work:
        """Total work so far."""
        return Work(
            rows=self._rows,
            tokens=self._tokens,
            padded=self._padded,
            seconds=self._elapsed(),
            paused=self._pause,
        )

    def resume_from(self, work: Work) -> None:
        """Add work of earlier attempts."""
        self._rows, self._tokens, self._padded = work.rows, work.tokens, work.padded
        self._before, self._pause = work.seconds, work.paused

    def add(self, rows: int, volume: Volume) -> None:
        """Add the rows and tokens of one step."""
        self._rows += rows
        self._tokens += volume.tokens
        self._padded += volume.padded

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Exclude the time inside the block."""
        start = time.monotonic()
        try:
            yield
        finally:
            self._pause += time.monotonic() - start

    def progress(self, step: int, epoch: float, loss: float, learning_rate: float | None) -> Progress:
        """Progress after `step`."""
        return Progress(
            step=step,
            total_steps=self._total_steps,
            epoch=epoch,
            percent=100 * step / self._total_steps,
            eta_seconds=self._elapsed() / step * (self._total_steps - step),
            loss=loss,
            learning_rate=learning_rate,
            tokens_per_second=self._tokens / self._working(),
            samples_per_second=self._rows / self._working(),
            updated_at=datetime.now(UTC),
        )

    def tally(self, gradient_norm: float, figures: Mapping[str, float]) -> TrainingTotals:
        """Totals so far; `gradient_norm` and `figures` are of the last step."""
        return TrainingTotals(int(self._rows), int(self._tokens), gradient_norm, figures)

    def totals(self) -> dict[str, float]:
        """Totals of the whole run for the report."""
        return {
            "samplesPerSecond": self._rows / self._working(),
            "tokensPerSecond": self._tokens / self._working(),
            "paddingRatio": 1 - self._tokens / self._padded if self._padded else 0.0,
        }

    def _working(self) -> float:
        return max(1e-9, self._elapsed() - self._pause)

    def _elapsed(self) -> float:
        return self._before + time.monotonic() - self._started
