"""Run file of a trainer pod, written by the operator and read by the trainer."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from finetune_api.base import ApiModel, Name, ShortText
from finetune_api.job import JobName
from finetune_api.parent import MOST_PARENTS, Parent
from finetune_api.spec import Spec

SettingName = Annotated[str, StringConstraints(max_length=64, pattern=r"^(AWS|GOOGLE|AZURE|HF)_[A-Z0-9_]+$")]
SettingValue = Annotated[str, StringConstraints(max_length=1024)]


class Mode(StrEnum):
    """Mode of a pod."""

    TRAIN = "Train"
    """The whole run."""
    VALIDATE = "Validate"
    """Check spec, model and data on a CPU before a GPU is taken."""


class JobIdentity(ApiModel):
    """Identity of the job."""

    name: JobName
    """Name of the FineTuneJob."""
    namespace: Name
    """Its namespace."""
    uid: ShortText
    """Its UID, also a part of the output path."""


class Stores(ApiModel):
    """Administrator settings of stores and the hub, without secrets."""

    settings: Annotated[dict[SettingName, SettingValue], Field(max_length=32)] = Field(default_factory=dict)
    """Settings named like the environment variables of the stores: `AWS_ENDPOINT_URL`, `AWS_REGION`, `HF_ENDPOINT`."""
    endpoints_from_secrets: bool = False
    """Whether a Secret may name another endpoint. If not, only credentials are taken from it, so that nobody can
    make a trainer talk to an address of their choice."""
    file_roots: Annotated[list[ShortText], Field(max_length=16)] = Field(default_factory=list)
    """Folders of the image or of the profile's volumes below which `file://` may read."""


class RunFile(ApiModel):
    """Spec, identity and mode of one run."""

    format: Literal["finetune.dev/run/v1"] = "finetune.dev/run/v1"
    mode: Mode = Mode.TRAIN
    """What the pod is for."""
    job: JobIdentity
    """Which job the run belongs to."""
    spec: Spec
    """What to do."""
    stores: Stores = Field(default_factory=Stores)
    """How to reach stores and the hub."""
    parents: Annotated[list[Parent], Field(max_length=MOST_PARENTS)] = Field(default_factory=list)
    """What each `finetunejob://` in the spec stands for."""
    grace_seconds: Annotated[int, Field(ge=1, le=86_400)] | None = None
    """Seconds between a pod's being asked to stop and its being killed; missing means that it may take any time."""
    gpu_memory: Annotated[int, Field(ge=1)] | None = None
    """Bytes of the GPU that the job is checked for; missing where the platform team does not say."""
