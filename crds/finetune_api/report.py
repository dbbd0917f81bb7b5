"""`report/report.json`: complete results of a run, which `index.html` renders."""

from typing import Any, Literal

from pydantic import AwareDatetime, Field

from finetune_api.base import ApiModel
from finetune_api.curves import CurvePoint, Verdict
from finetune_api.data_report import DataReport
from finetune_api.details import Details
from finetune_api.manifest import Lineage
from finetune_api.merge import Combination
from finetune_api.outcome import EvaluationResult, FailureInfo, Outcome
from finetune_api.resolved import Resolved


class Parameters(ApiModel):
    """Size of the model and of what was trained."""

    total: int
    trainable: int


class MergedSource(ApiModel):
    """A result that was merged, and what it can do alone."""

    uri: str
    """Its output folder, as the job names it."""
    job: str
    """Name of the job that made it."""
    method: str
    """How that job tuned it."""
    share: float
    """Its share of the merged model."""
    metrics: dict[str, float] = Field(default_factory=dict)
    """Its metrics on the same rows."""


class MergeReport(ApiModel):
    """What was merged, and how."""

    combination: Combination
    """How the changes became one."""
    density: float
    """Share of each source's changes that was kept."""
    scale: float
    """Factor on the merged change."""
    adapter: bool
    """Whether the result is an adapter over the base; else it is a whole model."""
    sources: list[MergedSource]
    """What was merged."""
    drift_reference: bool = False
    """Whether the sources were trained on the same inputs, so that `finetune-trainer drift` has their statistics."""


class Report(ApiModel):
    """All that a run found out. Every part that was not reached is missing."""

    format: Literal["finetune.dev/report/v1"] = "finetune.dev/report/v1"
    job: str
    """Name of the job."""
    uid: str
    """UID of the job."""
    attempt: int = 0
    """Number of the attempt that wrote this."""
    resumed_from: int | None = None
    """Step of the checkpoint that it went on from; missing where it began anew."""
    outcome: Outcome
    """How the run ended."""
    started_at: AwareDatetime
    """When the run began."""
    finished_at: AwareDatetime
    """When it ended."""
    failure: FailureInfo | None = None
    """Why it failed."""
    spec: dict[str, Any]
    """The spec as it ran."""
    resolved: Resolved | None = None
    """Values in force where the spec left the choice to defaults."""
    data: DataReport | None = None
    """What the data is like."""
    parameters: Parameters | None = None
    """Size of the model and of what was trained."""
    weights_dtype: str = ""
    """Number format of most of the exported weights: FP32, BF16 or FP16."""
    evaluation: EvaluationResult = Field(default_factory=EvaluationResult)
    """What was measured on the test rows."""
    trivial_baseline: dict[str, float] = Field(default_factory=dict)
    """Metrics of the best constant prediction by the training rows: the most frequent class or tag, or the mean;
    empty for tasks that have none."""
    evaluated_on: str = "test"
    """The split behind `evaluation`."""
    details: Details | None = None
    """What goes beyond single figures."""
    curves: list[CurvePoint] = Field(default_factory=list)
    """Loss, learning rate and metrics over training."""
    verdict: Verdict | None = None
    """Over- or underfitting."""
    timings: dict[str, float] = Field(default_factory=dict)
    """Seconds of each phase."""
    throughput: dict[str, float] = Field(default_factory=dict)
    """samplesPerSecond, tokensPerSecond and paddingRatio of training."""
    versions: dict[str, str] = Field(default_factory=dict)
    """Versions of the libraries that took part."""
    hardware: dict[str, str] = Field(default_factory=dict)
    """What the run ran on."""
    merge: MergeReport | None = None
    """What was merged, where the model was made of several."""
    lineage: Lineage | None = None
    """What the result was made from."""
    example_input: str = ""
    """An input that the model can be tried with: a text, or as JSON the columns that it takes."""
