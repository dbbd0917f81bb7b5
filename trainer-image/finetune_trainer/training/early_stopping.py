"""Decides which state is best and when to stop: a value that is easy to save and to test."""

from dataclasses import dataclass, replace

from finetune_api.metrics import Metric
from finetune_api.outcome import Best
from finetune_api.training import EarlyStopping


@dataclass(frozen=True)
class EarlyStoppingState:
    """The best evaluation so far and how long ago it was."""

    best: Best | None = None
    """The best evaluation by value, however small its lead."""
    reference: float | None = None
    """Value that the next must beat by `minDelta` to restart patience."""
    waited: int = 0
    """Evaluations since the reference was beaten."""

    def seen(self, step: int, value: float | None, metric: Metric, settings: EarlyStopping) -> "EarlyStoppingState":
        """Return the choice after an evaluation at `step`.

        Small gains do not add up to patience: each is compared with the last value that counted. None stands for a
        metric that is not defined on these outputs, such as a correlation with a constant: no improvement.
        """
        if value is None:
            return replace(self, waited=self.waited + 1)
        is_best = self.best is None or metric.better(value, self.best.value) > 0
        counts = self.reference is None or metric.better(value, self.reference) > settings.min_delta
        return replace(
            self,
            best=Best(step=step, metric=metric.name, value=value) if is_best else self.best,
            reference=value if counts else self.reference,
            waited=0 if counts else self.waited + 1,
        )

    def is_best(self, step: int) -> bool:
        """Whether the evaluation at `step` is the best so far."""
        return self.best is not None and self.best.step == step

    def should_stop(self, settings: EarlyStopping) -> bool:
        """Whether patience has run out."""
        return settings.patience > 0 and self.waited >= settings.patience
