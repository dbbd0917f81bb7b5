"""What the platform team sets: one file, written by the chart, read once at the start."""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, StringConstraints, ValidationError

from finetune_api.base import ApiModel
from finetune_api.run_file import Stores
from finetune_api.stored import unknown_fields

Text = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
Quantities = dict[str, str]


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
    work_size: Text = "20Gi"
    """Size limit of the scratch volume."""
    shared_memory_size: Text = "1Gi"
    """Size limit of /dev/shm, which data loaders and NCCL use."""
    node_selector: dict[str, str] = Field(default_factory=dict)
    """Labels that a node must have."""
    tolerations: list[dict[str, Any]] = Field(default_factory=list)
    """Taints that the pod tolerates, as in a PodSpec."""
    affinity: dict[str, Any] = Field(default_factory=dict)
    """Affinity, as in a PodSpec."""
    runtime_class_name: str = ""
    """RuntimeClass of the pod."""
    priority_class_name: str = ""
    """PriorityClass of the pod where the job names none."""
    cache: CacheClaim | None = None
    """Claim for caches; without one they last as long as the pod."""
    termination_grace_seconds: Annotated[int, Field(ge=1, le=86_400)] | None = None
    """Time that a pod gets to save a checkpoint when it is asked to stop; left out, it is the common one."""
    labels: dict[str, str] = Field(default_factory=dict)
    """More labels for the pod, for example for cost allocation."""


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
    run_as_user: Annotated[int, Field(ge=1)] = 65532
    """User and group that the container runs as."""


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
