"""Outcomes and metrics of runs: types shared by status, report and termination message."""

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Self

from pydantic import AwareDatetime, Field, StringConstraints

from finetune_api.base import ApiModel, ShortText

Message = Annotated[str, StringConstraints(max_length=1024)]
Metrics = Annotated[dict[str, float], Field(max_length=64)]
Digest = Annotated[str, StringConstraints(max_length=80, pattern=r"^(sha256:[0-9a-f]{64})?$")]
LongUri = Annotated[str, StringConstraints(max_length=1400)]


def cut(text: str, limit: int) -> str:
    """The text truncated to `limit` characters, with an ellipsis."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


class Outcome(StrEnum):
    """How a run ended."""

    SUCCEEDED = "Succeeded"
    GATE_FAILED = "GateFailed"
    FAILED = "Failed"
    STOPPED = "Stopped"


class FailureInfo(ApiModel):
    """Why a job failed."""

    failure_class: Annotated[ShortText, Field(alias="class")]
    """Who can fix it: Spec, Data, NotFound, Permission, Output, Resources, Training, Transient, Internal, Stopped,
    Fenced, Cluster or Limit."""
    code: ShortText
    """Stable name of the failure, see the reference of failures."""
    message: Message
    """What happened, for a person."""
    hint: Message = ""
    """What to do about it."""


class GateResult(ApiModel):
    """One gate and how it went."""

    metric: Annotated[str, StringConstraints(max_length=320)]
    """Metric that the gate is on."""
    value: float | None = None
    """Value of the tuned model; missing where it could not be computed."""
    baseline: float | None = None
    """Value of the base model."""
    limit: ShortText
    """The limit in words, for example `min 0.8`."""
    passed: bool
    """Whether the value is inside the limit."""


class Best(ApiModel):
    """The state that was kept."""

    step: Annotated[int, Field(ge=0)]
    """Optimiser step."""
    metric: ShortText
    """Metric that it was chosen by."""
    value: float
    """Its value on the validation rows."""


class EvaluationResult(ApiModel):
    """What was measured on the test rows."""

    metrics: Metrics = Field(default_factory=dict)
    """Metrics of the tuned model."""
    baseline: Metrics = Field(default_factory=dict)
    """Metrics of the base model."""
    few_shot: Metrics = Field(default_factory=dict)
    """Metrics of the base model with examples in the prompt (`evaluation.fewShot`)."""
    remark: Annotated[str, StringConstraints(max_length=512)] = ""
    """What they mean, where it is bad news or was requested: whether tuning improved on the base model."""
    gates: Annotated[list[GateResult], Field(max_length=32)] = Field(default_factory=list)
    """Gates and how they went."""
    best: Best | None = None
    """The state that was kept."""

    def only(self, keep: Callable[[str], bool]) -> Self:
        """The same with the metrics, of any model, whose names `keep` accepts."""
        kept = {
            part: {name: value for name, value in getattr(self, part).items() if keep(name)}
            for part in ("metrics", "baseline", "few_shot")
        }
        return self.model_copy(update=kept)


class Artifacts(ApiModel):
    """Where the results are."""

    model: LongUri = ""
    """Folder of the tuned model."""
    report: LongUri = ""
    """Report page."""
    predictions: LongUri = ""
    """Batch predictions."""
    digest: Digest = ""
    """SHA-256 of the final manifest."""


class Progress(ApiModel):
    """How far training is."""

    step: Annotated[int, Field(ge=0)] = 0
    """Optimiser steps done."""
    total_steps: Annotated[int, Field(ge=0)] = 0
    """Optimiser steps planned."""
    epoch: Annotated[float, Field(ge=0)] = 0
    """Passes over the data done."""
    percent: Annotated[float, Field(ge=0, le=100)] = 0
    """Share of the steps done, in percent."""
    eta_seconds: Annotated[float, Field(ge=0)] | None = None
    """Seconds left at the present rate."""
    loss: float | None = None
    """Mean training loss since the last report."""
    learning_rate: float | None = None
    """Learning rate of the last step."""
    tokens_per_second: Annotated[float, Field(ge=0)] | None = None
    """Tokens per second, padding not counted."""
    samples_per_second: Annotated[float, Field(ge=0)] | None = None
    """Rows per second."""
    updated_at: AwareDatetime | None = None
    """When these figures were taken."""
