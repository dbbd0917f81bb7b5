"""Scheduling settings of compute profiles in Kubernetes' types, validated at start.

The API server drops fields that it does not know, and a Job that is invalid is found only when somebody's job needs it.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from finetune_api.base import ApiModel

_NAME = r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)"
_PREFIX = r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?"
QualifiedName = Annotated[str, StringConstraints(max_length=317, pattern=rf"^{_PREFIX}{_NAME}$")]
"""Key of a label, an annotation or a taint, perhaps with a prefix: `example.com/team`."""
LabelValue = Annotated[str, StringConstraints(max_length=63, pattern=rf"^{_NAME}?$")]
Topology = Annotated[str, StringConstraints(min_length=1, max_length=317)]


class Toleration(ApiModel):
    """A toleration, as in a PodSpec."""

    key: QualifiedName | Literal[""] = ""
    """Key of the taint; empty, with the operator Exists, stands for all."""
    operator: Literal["Equal", "Exists"] = "Equal"
    """Whether the value counts."""
    value: LabelValue = ""
    """Value of the taint, for Equal."""
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = ""
    """Effect of the taint; empty stands for all."""
    toleration_seconds: int | None = None
    """For how long NoExecute is tolerated; left out, for ever."""


class Requirement(ApiModel):
    """A label selector requirement."""

    key: QualifiedName
    """Key of the label."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]
    """How it is compared; Gt and Lt only of nodes."""
    values: list[str] = Field(default_factory=list)
    """What it is compared with."""


class NodeTerm(ApiModel):
    """A node selector term."""

    match_expressions: list[Requirement] = Field(default_factory=list)
    """Its labels."""
    match_fields: list[Requirement] = Field(default_factory=list)
    """Its fields, of which there is `metadata.name`."""


class NodeTerms(ApiModel):
    """A node selector: one of its terms must match."""

    node_selector_terms: Annotated[list[NodeTerm], Field(min_length=1)]
    """The descriptions."""


class PreferredNodes(ApiModel):
    """A preferred node selector term."""

    weight: Annotated[int, Field(ge=1, le=100)]
    """How much better."""
    preference: NodeTerm
    """Which."""


class NodeAffinity(ApiModel):
    """Node affinity, as in a PodSpec."""

    required_during_scheduling_ignored_during_execution: NodeTerms | None = None
    """Those that it may be on."""
    preferred_during_scheduling_ignored_during_execution: list[PreferredNodes] = Field(default_factory=list)
    """Those that are better."""


class Labels(ApiModel):
    """A label selector."""

    match_labels: dict[QualifiedName, LabelValue] = Field(default_factory=dict)
    """Labels and their values."""
    match_expressions: list[Requirement] = Field(default_factory=list)
    """The same in other words."""


class PodTerm(ApiModel):
    """A pod affinity term."""

    topology_key: Topology
    """Label of nodes that says what near is, for example `kubernetes.io/hostname`."""
    label_selector: Labels | None = None
    """Which pods."""
    namespace_selector: Labels | None = None
    """Of which namespaces; left out, of its own."""
    namespaces: list[str] = Field(default_factory=list)
    """The same by name."""
    match_label_keys: list[str] = Field(default_factory=list)
    """Labels of this pod that those must have, too."""
    mismatch_label_keys: list[str] = Field(default_factory=list)
    """Labels of this pod that those must not have."""


class PreferredPods(ApiModel):
    """A weighted pod affinity term."""

    weight: Annotated[int, Field(ge=1, le=100)]
    """How much better."""
    pod_affinity_term: PodTerm
    """Which."""


class PodAffinity(ApiModel):
    """Pod affinity or anti-affinity, as in a PodSpec."""

    required_during_scheduling_ignored_during_execution: list[PodTerm] = Field(default_factory=list)
    """Without which it is not scheduled."""
    preferred_during_scheduling_ignored_during_execution: list[PreferredPods] = Field(default_factory=list)
    """With which it is better."""


class Affinity(ApiModel):
    """Affinity, as in a PodSpec."""

    node_affinity: NodeAffinity | None = None
    """Nodes for the pod."""
    pod_affinity: PodAffinity | None = None
    """Pods to be near."""
    pod_anti_affinity: PodAffinity | None = None
    """Pods to be far from."""


def as_written(model: ApiModel) -> dict[str, Any]:
    """The settings in the form of a PodSpec."""
    return model.model_dump(mode="json", by_alias=True, exclude_unset=True)
