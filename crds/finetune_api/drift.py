"""`model/drift.json`: statistics of the training inputs without text, and reports of drift against them."""

from enum import StrEnum
from typing import Literal

from pydantic import Field

from finetune_api.base import ApiModel

DRIFT_NAME = "drift.json"


class Distribution(ApiModel):
    """Shares of rows by a figure of theirs."""

    edges: list[float] = Field(default_factory=list)
    """Ends of all bins but the last, rising; a bin holds its end."""
    shares: list[float]
    """Share of rows in each bin: one more than edges."""


class Mass(ApiModel):
    """Shares of tokens or characters by kind."""

    shares: list[float]
    """Share of each kind."""
    halves: float
    """Jensen-Shannon divergence between two random halves of the training rows: what chance makes."""


class Answers(ApiModel):
    """What the tuned model said of held-out rows."""

    rows: int
    """Held-out rows."""
    labels: dict[str, float]
    """Share of rows by predicted label."""
    confidence: Distribution
    """Rows by the probability of the predicted label."""


class DriftReference(ApiModel):
    """Statistics of training inputs."""

    format: Literal["finetune.dev/drift/v1"] = "finetune.dev/drift/v1"
    rows: int
    """Rows that they were taken of."""
    characters: Distribution
    """Rows by length in characters."""
    tokens: Distribution
    """Rows by length in tokens."""
    unknown: Distribution
    """Rows by the share of tokens that the tokenizer does not know."""
    scripts: Mass
    """Characters by script and kind; see `finetune_trainer.drift.sketch.SCRIPTS`."""
    vocabulary: Mass
    """Tokens by a hash of their number."""
    labels: dict[str, float] = Field(default_factory=dict)
    """Share of rows by label (SingleLabel)."""
    answers: Answers | None = None
    """What the tuned model said of held-out rows (SingleLabel)."""


class Drift(StrEnum):
    """How far new rows are from those of the training."""

    NONE = "None"
    SOME = "Some"
    STRONG = "Strong"


class Shift(ApiModel):
    """One statistic, compared."""

    name: str
    """What is compared: characters, tokens, unknown, scripts, vocabulary, labels, answers or confidence."""
    divergence: float
    """Jensen-Shannon divergence in bits, from 0 (alike) to 1 (nothing in common)."""
    chance: float
    """Divergence that rows of the same kind stay below nineteen times out of twenty, at this number of rows."""
    drift: Drift
    """What it comes to."""
    before: str = ""
    """The training rows in a figure."""
    now: str = ""
    """The new rows in the same figure."""

    @property
    def beyond_chance(self) -> float:
        """Divergence minus its level by chance; at least 0."""
        return max(0.0, self.divergence - self.chance)


class DriftReport(ApiModel):
    """New rows against those of the training."""

    rows: int
    """New rows."""
    reference_rows: int
    """Training rows behind the statistics."""
    drift: Drift
    """The strongest of all."""
    shifts: list[Shift]
    """Each statistic."""
