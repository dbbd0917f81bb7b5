"""Report part on training: learning curves and their diagnosis."""

from enum import StrEnum

from pydantic import Field

from finetune_api.base import ApiModel


class CurvePoint(ApiModel):
    """One point of the curves."""

    step: int
    """Optimiser step."""
    epoch: float
    """Passes over the data."""
    loss: float | None = None
    """Mean training loss since the last point."""
    learning_rate: float | None = None
    """Learning rate of the step."""
    gradient_norm: float | None = None
    """Norm of the gradient before clipping."""
    validation: dict[str, float] = Field(default_factory=dict)
    """Metrics on the validation rows, where they were taken."""
    sources: dict[str, float] = Field(default_factory=dict)
    """Loss on the validation rows of each source, by its name, where rows come from several."""
    figures: dict[str, float] = Field(default_factory=dict)
    """Further means of training since the last point (PolicyOptimization: `meanReward`, `kl`, `entropy`,
    `answerTokens`, `zeroVarianceGroups`)."""


class Fit(StrEnum):
    """What the curves say."""

    GOOD = "Good"
    OVERFITTING = "Overfitting"
    UNDERFITTING = "Underfitting"
    UNCERTAIN = "Uncertain"


class Verdict(ApiModel):
    """Over- or underfitting, named from the curves."""

    fit: Fit
    """What the curves say."""
    reason: str
    """The figures that say so."""
    advice: str = ""
    """What to try."""
