"""`FineTuneJob`, the root type."""

from typing import Annotated, Literal

from pydantic import ConfigDict, StringConstraints

from finetune_api import API_VERSION, KIND
from finetune_api.addresses import addresses
from finetune_api.base import ApiModel, Name, Rule
from finetune_api.spec import MUTABLE, Spec
from finetune_api.status import Status
from finetune_api.unchanged import same
from finetune_api.uris import PARENT_SCHEME, parent_job

_CANT_BE_CHANGED = "can't be changed once the job exists; only runPolicy can. Create a new job instead"


_STATUS_WRITE = (
    "has(self.status) != has(oldSelf.status) || "
    f"(has(self.status) && !({same('status.phase')} && {same('status.summary')}))"
)
"""A request that changes these changes nothing else: the API server sees to it. Asked first, it spares comparing the
spec with itself each time a status is written, which is a third of what the write costs."""
_NAMED = {field.alias or name: field for name, field in Spec.model_fields.items()}
_FIXED = {name: field for name, field in _NAMED.items() if name not in MUTABLE}


def _unchanged(name: str) -> str:
    if _FIXED[name].is_required():
        return f"self.spec.{name} == oldSelf.spec.{name}"
    return same(f"spec.{name}", _FIXED[name].annotation)


def _immutable() -> Rule:
    """Immutability rule for all fields in one, for its cost; its message names the first changed field."""
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
    f"!has(self.spec.training.policy.reward.uri) || self.spec.training.policy.reward.uri != {_ITSELF}) && "
    "(!has(self.spec.checkpoints) || !has(self.spec.checkpoints.resumeFrom) || "
    f"self.spec.checkpoints.resumeFrom.uri != {_ITSELF})"
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
            message="a job can't start from itself; name another finetunejob:// than the job itself",
        ),
    )

    api_version: Literal["finetune.dev/v1alpha1"] = API_VERSION  # type: ignore[assignment]  # one constant, one literal
    """Group and version of the API."""
    kind: Literal["FineTuneJob"] = KIND  # type: ignore[assignment]  # as above
    """The kind, as Kubernetes calls it."""
    metadata: Metadata
    """Name and, in a cluster, namespace."""
    spec: Spec
    """What to fine-tune, on what, how, and what the result must reach. Immutable except `runPolicy`."""
    status: Status | None = None
    """What is known of the job. Written by the operator only."""
