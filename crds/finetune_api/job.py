"""The kind `FineTuneJob`: what a user applies."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from finetune_api import API_VERSION, KIND
from finetune_api.base import ApiModel, Name, Rule
from finetune_api.data import Data
from finetune_api.evaluation import Evaluation
from finetune_api.method import Method
from finetune_api.model import ModelSource
from finetune_api.output import Checkpoints, Compute, Output, Predict, RunPolicy
from finetune_api.status import Status
from finetune_api.tasks import MethodType, Task
from finetune_api.training import Training
from finetune_api.uris import parent_job

_FIXED_FIELDS = (
    "task",
    "model",
    "data",
    "method",
    "training",
    "evaluation",
    "checkpoints",
    "output",
    "predict",
    "compute",
)
_REQUIRED = frozenset({"task", "model", "data", "output"})
_HAS_TRAINING_ROWS = "(has(self.data.train) && size(self.data.train) > 0)"
_MERGES = "(has(self.method) && self.method.type == 'Merge')"


def _immutable(field: str) -> Rule:
    mine, before = f"self.{field}", f"oldSelf.{field}"
    same = f"{mine} == {before}"
    return Rule(
        cel=same if field in _REQUIRED else f"has({mine}) == has({before}) && (!has({mine}) || {same})",
        field=field,
        message=f"{field} can't be changed once the job exists; only runPolicy can. Create a new job instead",
    )


class Spec(ApiModel):
    """What to fine-tune, on what, how, and what the result must reach. All but `runPolicy` is fixed at creation."""

    rules = (
        *(_immutable(field) for field in _FIXED_FIELDS),
        Rule(
            cel=f"{_HAS_TRAINING_ROWS} || {_MERGES}",
            holds=lambda spec: bool(spec.data.train) or spec.method.type is MethodType.MERGE,
            field="data.train",
            message="there are no training rows: name their files, for example file://./train.csv",
        ),
        Rule(
            cel=f"!({_MERGES}) || (has(self.data.test) && size(self.data.test) > 0) || "
            f"({_HAS_TRAINING_ROWS} && (!has(self.data.split) || self.data.split.test > 0))",
            holds=lambda spec: (
                spec.method.type is not MethodType.MERGE
                or bool(spec.data.test or (spec.data.train and spec.data.split.test))
            ),
            field="data.test",
            message="a merged model is always measured: name test rows, or in data.train the rows to split them from",
        ),
    )

    task: Task
    """What the model learns to do."""

    model: ModelSource
    """The base model."""

    data: Data
    """Rows to train, validate and test on."""

    method: Method = Field(default_factory=Method)
    """How the weights change."""

    training: Training = Field(default_factory=Training)
    """The optimisation."""

    evaluation: Evaluation = Field(default_factory=Evaluation)
    """What is measured and what must be reached."""

    checkpoints: Checkpoints = Field(default_factory=Checkpoints)
    """States to resume from."""

    output: Output
    """Where the model and the report go."""

    predict: Predict | None = None
    """Batch prediction with the tuned model."""

    compute: Compute = Field(default_factory=Compute)
    """What the job runs on in a cluster."""

    run_policy: RunPolicy = Field(default_factory=RunPolicy)
    """Retries, deadlines, suspension and clean-up."""


JobName = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
"""Names of children are made from it, so it is as short as a label."""


class Metadata(ApiModel):
    """The part of Kubernetes' ObjectMeta that a local run understands; the rest is kept as it is."""

    model_config = ConfigDict(extra="allow")

    name: JobName
    """Name of the job, also a part of the output path."""
    namespace: Name | None = None
    """Namespace in a cluster."""
    uid: Annotated[str, StringConstraints(max_length=64)] | None = None
    """Set by the API server; a local run makes its own."""


class FineTuneJob(ApiModel):
    """A fine-tuning run: base model and data in, evaluated model and report out."""

    rules = (
        Rule(
            cel="self.spec.model.uri != 'finetunejob://' + self.metadata.name",
            holds=lambda job: parent_job(job.spec.model.uri) != job.metadata.name,
            field="spec.model.uri",
            message="a job can't go on from its own result; name another job, or a model",
        ),
    )

    api_version: Literal["finetune.dev/v1alpha1"] = API_VERSION  # type: ignore[assignment]  # one constant, one literal
    """Group and version of the API."""
    kind: Literal["FineTuneJob"] = KIND  # type: ignore[assignment]  # as above
    """The kind, as Kubernetes calls it."""
    metadata: Metadata
    """Name and, in a cluster, namespace."""
    spec: Spec
    """What to fine-tune, on what, how, and what the result must reach. All but `runPolicy` is fixed at creation."""
    status: Status | None = None
    """What is known of the job. Written by the operator only."""
