"""`GET /progress` response of a running trainer. Losing it never fails a job."""

from typing import Annotated, Literal

from pydantic import Field

from finetune_api.base import ApiModel, ShortText
from finetune_api.outcome import Best, EvaluationResult, Message, Metrics, Progress
from finetune_api.resolved import Resolved
from finetune_api.status import CheckpointInfo, Phase

LIVE_BYTES = 64 * 1024
"""Longest answer that a reader needs to accept."""


class Measured(ApiModel):
    """The newest evaluation on the validation rows."""

    step: Annotated[int, Field(ge=0)]
    """Optimiser step."""
    metrics: Metrics
    """Values by name."""


class Live(ApiModel):
    """How a run goes, right now."""

    format: Literal["finetune.dev/live/v1"] = "finetune.dev/live/v1"
    uid: ShortText
    """UID of the FineTuneJob."""
    attempt: Annotated[int, Field(ge=0)] = 0
    """Number of the claim that this run writes under; 0 before it has one."""
    resumed_from: Annotated[int, Field(ge=0)] | None = None
    """Step of the checkpoint that this run went on from; missing where it began anew."""
    phase: Phase = Phase.STARTING
    """What it is doing: Validating, Starting, Training, Evaluating or Exporting."""
    doing: ShortText = ""
    """The long thing it is at, with its share, for example `tokenising 42%`."""
    progress: Progress | None = None
    """How far training is."""
    measured: Measured | None = None
    """The newest evaluation on the validation rows."""
    best: Best | None = None
    """The best state so far."""
    evaluation: EvaluationResult | None = None
    """What was measured on the test rows, once it was."""
    resolved: Resolved | None = None
    """Values in force where the spec left the choice to defaults."""
    data: Message = ""
    """The checked data in a sentence, for example `451 train, 56 validation and 50 test rows; 2 bad rows left out`."""
    warnings: Annotated[list[Message], Field(max_length=16)] = Field(default_factory=list)
    """What a careful person would look at."""
    checkpoints: Annotated[list[CheckpointInfo], Field(max_length=16)] = Field(default_factory=list)
    """The newest committed checkpoints, oldest first."""
    checkpoint_request: ShortText = ""
    """The newest request for a checkpoint (`pod.CHECKPOINT_ANNOTATION`) that was carried out."""
