"""Operator settings of the platform team: one file, written by the chart, read at start."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, StringConstraints, ValidationError, field_validator, model_validator

from finetune_api.base import ApiModel
from finetune_api.quantity import Quantity, amount
from finetune_api.run_file import Stores
from finetune_api.stored import unknown_fields
from finetune_operator.placement import Affinity, LabelValue, QualifiedName, Toleration

Text = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
Quantities = dict[QualifiedName, Quantity]
_OUR_GROUP = "finetune.dev/"


class CacheClaim(ApiModel):
    """A persistent volume claim that keeps models and tokenised data between pods; it must exist in each namespace."""

    claim_name: Text
    """Name of the claim."""
    sub_path: str = ""
    """Folder in it."""


class Profile(ApiModel):
    """A compute profile: what a pod may be. Jobs name one, they can't describe one."""

    description: str = ""
    """What it is for, in a line."""
    image: str = ""
    """Trainer image of this profile; empty means the common one."""
    requests: Quantities = Field(default_factory=dict)
    """Resource requests of the container, for example `{cpu: "2", memory: 8Gi}`."""
    limits: Quantities = Field(default_factory=dict)
    """Resource limits of the container."""
    gpu_resource: Text = "nvidia.com/gpu"
    """Resource that `compute.gpusPerNode` counts."""
    max_gpus_per_node: Annotated[int, Field(ge=0, le=16)] = 0
    """GPUs that a job may ask for; 0 makes it a CPU profile."""
    gpu_memory: Quantity | None = None
    """Memory of one GPU, for example `80Gi`: a job that clearly needs more is refused before it gets one. Left out, no
    job is."""
    work_size: Text = "20Gi"
    """Size limit of the scratch volume."""
    shared_memory_size: Text = "1Gi"
    """Size limit of /dev/shm, which data loaders and NCCL use."""
    node_selector: dict[QualifiedName, LabelValue] = Field(default_factory=dict)
    """Labels that a node must have."""
    tolerations: list[Toleration] = Field(default_factory=list)
    """Taints that the pod tolerates, as in a PodSpec."""
    affinity: Affinity = Field(default_factory=Affinity)
    """Affinity of the pod: `nodeAffinity`, `podAffinity` and `podAntiAffinity` as in a PodSpec."""
    runtime_class_name: str = ""
    """RuntimeClass of the pod."""
    priority_class_name: str = ""
    """PriorityClass of the pod where the job names none."""
    priority_class_names: list[Text] = Field(default_factory=list)
    """Other PriorityClasses that a job may name (`compute.priorityClassName`); empty means none."""
    cache: CacheClaim | None = None
    """Claim for caches; without one they last as long as the pod."""
    termination_grace_seconds: Annotated[int, Field(ge=1, le=86_400)] | None = None
    """Time that a pod gets to save a checkpoint when it is asked to stop; left out, it is the common one."""
    labels: dict[QualifiedName, LabelValue] = Field(default_factory=dict)
    """More labels for the pod, for example for cost allocation."""
    annotations: dict[QualifiedName, str] = Field(default_factory=dict)
    """More annotations for the pod, for example `karpenter.sh/do-not-disrupt: "true"`."""

    @field_validator("affinity", mode="before")
    @classmethod
    def _check_affinity(cls, given: Any) -> Any:
        """These are Kubernetes' words, not ours: one that is not there is a mistake, and no newer version's."""
        return Affinity.model_validate(given, extra="forbid")

    @field_validator("tolerations", mode="before")
    @classmethod
    def _check_tolerations(cls, given: Any) -> Any:
        return [Toleration.model_validate(item, extra="forbid") for item in given] if isinstance(given, list) else given

    @model_validator(mode="after")
    def _check_words(self) -> Self:
        for name in self.requests.keys() & self.limits.keys():
            if amount(self.requests[name]) > amount(self.limits[name]):
                raise ValueError(f"requests.{name} {self.requests[name]} is above limits.{name} {self.limits[name]}")
        for field, given in (("labels", self.labels), ("annotations", self.annotations)):
            if ours := [name for name in given if name.startswith(_OUR_GROUP)]:
                raise ValueError(f"{field}.{ours[0]}: the operator's own are below {_OUR_GROUP}")
        if wrong := [name for name in self.priority_class_names if name.startswith("system-")]:
            raise ValueError(f"priorityClassNames: {wrong[0]} is for the cluster itself, and not for jobs")
        return self


def _check_profile() -> Profile:
    return Profile(description="checks", requests={"cpu": "1", "memory": "2Gi"}, limits={"cpu": "2", "memory": "8Gi"})


class TrainerImage(ApiModel):
    """The image that pods run."""

    name: Text
    """Repository with a tag or, better, a digest."""
    pull_policy: Literal["IfNotPresent", "Always", "Never"] = "IfNotPresent"
    """When to pull it."""
    pull_secrets: list[Text] = Field(default_factory=list)
    """Secrets for the registry; they must exist in each namespace."""
    service_account_name: str = ""
    """Service account of the pods (for workload identity); empty means `default`. Its token is never mounted."""
    run_as_user: Annotated[int, Field(ge=1)] | None = 65532
    """User and group that the container runs as; null leaves them to the cluster, as OpenShift wants it."""


class Settings(ApiModel):
    """Everything that can be set."""

    namespaces: list[Text] = Field(default_factory=list)
    """Namespaces to watch; empty means all."""
    trainer: TrainerImage
    """The image that pods run."""
    profiles: Annotated[dict[str, Profile], Field(min_length=1)]
    """Compute profiles by name."""
    check_profile: Profile = Field(default_factory=_check_profile)
    """What the pod is that checks spec, model and data on a CPU before a job with GPUs gets them."""
    stores: Stores = Field(default_factory=Stores)
    """How trainers reach stores and the hub."""
    termination_grace_seconds: Annotated[int, Field(ge=1, le=86_400)] = 300
    """Time that a pod gets to save a checkpoint when it is asked to stop."""
    poll_seconds: Annotated[float, Field(gt=0)] = 5
    """How often a running trainer is asked for its progress."""
    status_seconds: Annotated[float, Field(gt=0)] = 10
    """Shortest time between status writes that only bring newer figures."""
    workers: Annotated[int, Field(ge=1, le=256)] = 16
    """Jobs that are reconciled at the same time."""
    resync_seconds: Annotated[float, Field(gt=0)] = 600
    """How often every job is looked at though nothing has happened."""
    metrics_port: Annotated[int, Field(ge=0, le=65_535)] = 9090
    """Port of the operator's own metrics; 0 takes a free one."""
    health_port: Annotated[int, Field(ge=0, le=65_535)] = 8081
    """Port of the liveness and readiness probes; 0 takes a free one."""
    log_format: Literal["plain", "json"] = "plain"
    """Form of the log lines."""

    @field_validator("stores")
    @classmethod
    def _check_stores(cls, stores: Stores) -> Stores:
        for name, value in stores.settings.items():
            if is_credential(name) or _WITH_PASSWORD.match(value):
                text = "is a credential: it would be readable in every pod and in the settings"
                raise ValueError(f"settings.{name} {text}; put it into a Secret that jobs name by secretRef")
        return stores


_WITH_PASSWORD = re.compile(r"[a-z][a-z0-9+.-]*://[^/@]+:[^/@]+@", re.IGNORECASE)
_CREDENTIAL = re.compile(
    r"(^|_)(KEY|SECRET|TOKEN|PASSWORD|PASSPHRASE|CREDENTIALS?|CONNECTION_STRING|SAS)(_|$)|KEY_ID$|ACCESS_KEY"
)
_NO_CREDENTIAL = re.compile(r"_(FILE|URI|PATH|URL)$|^GOOGLE_APPLICATION_CREDENTIALS$|^HF_HUB_DISABLE_")
"""Names that only say where a credential is, or whether it is used."""


def is_credential(name: str) -> bool:
    """Whether an environment variable holds a secret, by its name."""
    return _CREDENTIAL.search(name) is not None and _NO_CREDENTIAL.search(name) is None


def load_settings(path: Path, *, open_to_newer: bool = False) -> Settings:
    """Read the settings file (YAML).

    With `open_to_newer`, fields that this version does not know are passed over: the chart may be newer than the image.

    Raises `SystemExit` with one line for each wrong field: a Deployment should stop, and say why in its log.
    """
    try:
        return Settings.model_validate(_content(path), extra="ignore" if open_to_newer else "forbid")
    except ValidationError as error:
        lines = [f"{path}: {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise SystemExit("\n".join(lines)) from error


def unknown_settings(path: Path) -> list[str]:
    """Fields of the settings file that this version does not know."""
    return [".".join(map(str, field)) for field in unknown_fields(Settings, _content(path))]


def _content(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise SystemExit(f"{path}: can't be read: {error}") from error
