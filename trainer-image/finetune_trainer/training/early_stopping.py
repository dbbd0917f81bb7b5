"""Best evaluation and early stopping, as an immutable value."""

import math
from dataclasses import dataclass, replace

from finetune_api.metrics import Metric
from finetune_api.outcome import Best
from finetune_api.training import EarlyStopping


@dataclass(frozen=True)
class EarlyStoppingState:
    """The best evaluation, and the number of evaluations since."""

    best: Best | None = None
    """The best evaluation by value, however small its lead."""
    reference: float | None = None
    """Value that the next must beat by `minDelta` to restart patience."""
    bad_evals: int = 0
    """Evaluations since the reference was beaten."""

    def update(
        self,
        step: int,
        value: float | None,
        metric: Metric,
        settings: EarlyStopping,
        *,
        loss: float | None = None,
        best_loss: float | None = None,
    ) -> "EarlyStoppingState":
        """Return the state after an evaluation at `step`.

        Small gains do not add up to patience: each is compared with the last value that counted. Of equal values the
        one of the lower validation loss is best. While the metric is at the bad end of its range (a tagger that finds
        nothing yet), a lower loss restarts patience, too.

        Args:
            step: Optimiser step of the evaluation.
            value: What it gave for the metric; None where the metric is not defined on these outputs, such as a
                correlation with a constant: no improvement.
            metric: The metric of the choice.
            settings: Patience and the least gain.
            loss: Its loss on the validation rows.
            best_loss: The loss of the best evaluation so far.
        """
        if value is None:
            return replace(self, bad_evals=self.bad_evals + 1)
        lead = math.inf if self.best is None else metric.better(value, self.best.value)
        is_lower_loss = lead == 0 and loss is not None and best_loss is not None and loss < best_loss
        gains = self.reference is None or metric.better(value, self.reference) > settings.min_delta
        counts = gains or (is_lower_loss and value == metric.worst)
        return replace(
            self,
            best=Best(step=step, metric=metric.name, value=value) if lead > 0 or is_lower_loss else self.best,
            reference=value if counts else self.reference,
            bad_evals=0 if counts else self.bad_evals + 1,
        )

    def is_best(self, step: int) -> bool:
        """Whether the evaluation at `step` is the best so far."""
        return self.best is not None and self.best.step == step

    def should_stop(self, settings: EarlyStopping) -> bool:
        """Whether patience has run out."""
        return settings.patience > 0 and self.bad_evals >= settings.patience
