"""The kind `FineTuneJob`: what a user applies."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from finetune_api import API_VERSION, KIND
from finetune_api.addresses import addresses
from finetune_api.base import ApiModel, Name, Rule
from finetune_api.data import Data
from finetune_api.evaluation import Evaluation
from finetune_api.method import Method
from finetune_api.model import ModelSource
from finetune_api.output import Checkpoints, Compute, Output, Predict, RunPolicy
from finetune_api.status import Status
from finetune_api.tasks import MethodType, Task
from finetune_api.training import Training
from finetune_api.uris import PARENT_SCHEME, parent_job

MUTABLE = frozenset({"runPolicy"})
"""Fields of the spec that may be changed while the job exists."""
_CANT_BE_CHANGED = "can't be changed once the job exists; only runPolicy can. Create a new job instead"


def _same(path: str) -> str:
    """CEL that holds where an optional field is what it was. `.?` would be shorter, but has no bound on its cost."""
    mine, before = f"self.{path}", f"oldSelf.{path}"
    return f"(has({mine}) == has({before}) && (!has({mine}) || {mine} == {before}))"


_STATUS_WRITE = (
    "has(self.status) != has(oldSelf.status) || "
    f"(has(self.status) && !({_same('status.phase')} && {_same('status.summary')}))"
)
"""A request that changes these changes nothing else: the API server sees to it. Asked first, it spares comparing the
spec with itself each time a status is written, which is a third of what the write costs."""
_HAS_TRAINING_ROWS = "(has(self.data.train) && size(self.data.train) > 0)"
_MERGES = "(has(self.method) && self.method.type == 'Merge')"


class Spec(ApiModel):
    """What to fine-tune, on what, how, and what the result must reach. All but `runPolicy` is fixed at creation."""

    rules = (
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


_NAMED = {field.alias or name: field for name, field in Spec.model_fields.items()}
_FIXED = {name: field for name, field in _NAMED.items() if name not in MUTABLE}


def _unchanged(name: str) -> str:
    return f"self.spec.{name} == oldSelf.spec.{name}" if _FIXED[name].is_required() else _same(f"spec.{name}")


def _immutable() -> Rule:
    """One rule for all fields, since asking once is cheaper; its message names the first that was changed."""
    *others, last = _FIXED
    changed = "".join(f"!({_unchanged(field)}) ? '{field}' : " for field in others) + f"'{last}'"
    return Rule(
        cel=f"{_STATUS_WRITE} || ({' && '.join(map(_unchanged, _FIXED))})",
        field="spec",
        message=f"all but runPolicy {_CANT_BE_CHANGED}",
        message_cel=f'({changed}) + " {_CANT_BE_CHANGED}"',
    )


_ITSELF = f"'{PARENT_SCHEME}' + self.metadata.name"
_NOT_ITSELF = (
    f"self.spec.model.uri != {_ITSELF} && "
    "(!has(self.spec.method) || !has(self.spec.method.merge) || "
    f"self.spec.method.merge.sources.all(source, source.uri != {_ITSELF})) && "
    "(!has(self.spec.training) || !has(self.spec.training.policy) || "
    f"!has(self.spec.training.policy.reward.uri) || self.spec.training.policy.reward.uri != {_ITSELF})"
)
"""In one rule, since the API server asks each rule at each write."""


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
        _immutable(),
        Rule(
            cel=_NOT_ITSELF,
            holds=lambda job: job.metadata.name not in {parent_job(address.uri) for address in addresses(job.spec)},
            field="spec",
            message="a job can't be made from its own result; name another finetunejob:// than the job itself",
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
