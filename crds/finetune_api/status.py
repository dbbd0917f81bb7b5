"""`FineTuneJob.status`, written by the operator and bounded to 16 KiB."""

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import AwareDatetime, Field, StringConstraints

from finetune_api.base import ApiModel, ShortText
from finetune_api.outcome import Artifacts, Digest, EvaluationResult, FailureInfo, LongUri, Message, Progress
from finetune_api.parent import MOST_PARENTS, Parent
from finetune_api.resolved import Resolved


class Phase(StrEnum):
    """Where a job is in its life, in one word."""

    PENDING = "Pending"
    VALIDATING = "Validating"
    QUEUED = "Queued"
    STARTING = "Starting"
    TRAINING = "Training"
    EVALUATING = "Evaluating"
    EXPORTING = "Exporting"
    SUCCEEDED = "Succeeded"
    SUSPENDED = "Suspended"
    FAILED = "Failed"
    GATE_FAILED = "GateFailed"


class Condition(ApiModel):
    """A condition as in the Kubernetes API conventions."""

    type: ShortText
    """Accepted, DataReady, Running, Progressing, Suspended, Succeeded, Failed, or Finished (True at every end)."""
    status: Literal["True", "False", "Unknown"]
    """True, False or Unknown."""
    observed_generation: Annotated[int, Field(ge=0)] = 0
    """Generation of the job that this was computed from."""
    last_transition_time: AwareDatetime
    """When `status` last changed."""
    reason: ShortText
    """CamelCase word for programs."""
    message: Message = ""
    """Sentence for people."""


class Attempt(ApiModel):
    """One try of the job."""

    number: Annotated[int, Field(ge=1)]
    """1 for the first."""
    pod: Annotated[str, StringConstraints(max_length=253)] = ""
    """Name of its pod."""
    reason: ShortText = ""
    """How it ended: Succeeded, GateFailed, Preempted, Suspended, Stopped, Fenced, Lost or the code of a failure; empty
    while it runs."""
    exit_code: Annotated[int, Field(ge=0, le=255)] | None = None
    """What its process ended with."""
    started: AwareDatetime | None = None
    """When its pod started."""
    ended: AwareDatetime | None = None
    """When its pod ended."""
    steps: Annotated[int, Field(ge=0)] = 0
    """Last step it reached."""
    resumed_from: Annotated[int, Field(ge=0)] | None = None
    """Step that it resumed from."""


class CheckpointInfo(ApiModel):
    """One committed checkpoint."""

    step: Annotated[int, Field(ge=0)]
    """Optimiser step."""
    uri: LongUri
    """Its folder."""
    metric: float | None = None
    """Value of `evaluation.metric` when it was saved."""
    digest: Digest = ""
    """SHA-256 of its manifest."""


class Child(ApiModel):
    """A Job that the operator made for this one."""

    name: Annotated[str, StringConstraints(max_length=253)]
    """Its name; the one that ends in `-check` checks spec, model and data before a GPU is taken."""
    uid: ShortText
    """Its UID: another Job under its name, or one that only claims to belong to this job, is not listened to."""


class Summary(ApiModel):
    """Short texts for the columns of `kubectl get`; programs read the figures behind them."""

    progress: ShortText = ""
    """Share of the steps done and their number, for example `42% 120/285`."""
    loss: ShortText = ""
    """Mean training loss since the last report, for example `0.3451`."""
    metric: ShortText = ""
    """The metric that counts and its newest value, for example `accuracy 0.913`."""
    eta: ShortText = ""
    """Time left at the present rate, for example `3m20s`."""


class Status(ApiModel):
    """What is known of a job. Written by the operator only."""

    list_map_keys: ClassVar[dict[str, list[str]]] = {"conditions": ["type"]}

    observed_generation: Annotated[int, Field(ge=0)] = 0
    """Generation of the job that this status describes."""
    phase: Phase = Phase.PENDING
    """Where the job is in its life."""
    conditions: Annotated[list[Condition], Field(max_length=16)] = Field(default_factory=list)
    """Standard conditions; `kubectl wait --for=condition=Finished` returns at every end."""
    start_time: AwareDatetime | None = None
    """When the first pod started."""
    completion_time: AwareDatetime | None = None
    """When the job ended."""
    active_since: AwareDatetime | None = None
    """Since when the job has been active without a break; missing while it is suspended and once it has ended."""
    active_seconds: Annotated[int, Field(ge=0)] = 0
    """Seconds that it was active before that: what `runPolicy.activeDeadlineSeconds` counts, suspensions left out."""
    children: Annotated[list[Child], Field(max_length=2)] | None = None
    """The Jobs that the operator made, the newest of each kind."""
    attempts: Annotated[list[Attempt], Field(max_length=16)] = Field(default_factory=list)
    """The newest attempts, oldest first."""
    failures: Annotated[int, Field(ge=0)] = 0
    """Attempts that failed and count against `runPolicy.backoffLimit`."""
    preemptions: Annotated[int, Field(ge=0)] = 0
    """Attempts that were preempted, evicted or drained; they count against `runPolicy.maxPreemptions`."""
    progress: Progress | None = None
    """How far training is."""
    summary: Summary | None = None
    """Progress in words, as `kubectl get` shows it."""
    evaluation: EvaluationResult | None = None
    """What was measured."""
    checkpoints: Annotated[list[CheckpointInfo], Field(max_length=16)] = Field(default_factory=list)
    """The newest committed checkpoints, oldest first; none once the job has a result, with which they end."""
    checkpoint_request: ShortText = ""
    """The newest value of the annotation `finetune.dev/checkpoint` that the trainer has carried out."""
    parents: Annotated[list[Parent], Field(max_length=MOST_PARENTS)] = Field(default_factory=list)
    """The jobs that `finetunejob://...` in the spec names, as they were when this job took their results, or of a job
    that failed its checkpoints."""
    artifacts: Artifacts | None = None
    """Where the results are."""
    resolved: Resolved | None = None
    """Values in force where the spec left the choice to defaults."""
    failure: FailureInfo | None = None
    """Why the job failed."""
