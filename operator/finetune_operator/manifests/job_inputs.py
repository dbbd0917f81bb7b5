"""`JobInputs`: parameters of a child Job."""

import json
from dataclasses import dataclass

from finetune_api.first_version import spec_json
from finetune_api.parent import Parent
from finetune_api.run_file import JobIdentity, Mode, RunFile
from finetune_api.spec import Spec
from finetune_operator.settings import Profile, Settings

ANNOTATION_BYTES = 200 * 1024
"""Longest run file; the API server's limit for all annotations of an object is 256 KiB."""


@dataclass(frozen=True)
class JobInputs:
    """Parameters of one child Job."""

    spec: Spec
    job: JobIdentity
    mode: Mode
    profile: Profile
    """What the job names, and for a check what the platform team set for checks."""
    settings: Settings
    remaining_seconds: int | None = None
    """What is left of the time that the job may be active; None means no limit."""
    parents: tuple[Parent, ...] = ()
    """The jobs whose results it starts from."""

    queue: str = ""
    """Kueue's LocalQueue that admits the Job; empty means none."""
    queue_priority: str = ""
    """Class of the Workload's priority in that queue."""

    gpu_memory: int | None = None
    """Bytes of the GPU that a check is about; None where that is not known, or nothing is checked."""

    suspend: bool = False
    """Whether the Job is made without letting it run."""

    @property
    def grace_seconds(self) -> int:
        """Termination grace period of the pod in seconds, for saving a checkpoint."""
        own = self.profile.termination_grace_seconds
        return own if own is not None else self.settings.termination_grace_seconds

    @property
    def gpus(self) -> int:
        """GPUs of the pod; 0 for a check."""
        return self.spec.compute.gpus_per_node if self.mode is Mode.TRAIN else 0


def run_file_json(inputs: JobInputs) -> str:
    """The run file as JSON: the user's spec, without defaults.

    So a trainer of another version can read it, and what it refuses for not knowing it was asked for.
    """
    run = RunFile(
        mode=inputs.mode,
        job=inputs.job,
        spec=inputs.spec,
        stores=inputs.settings.stores,
        parents=list(inputs.parents),
        grace_seconds=inputs.grace_seconds,
        gpu_memory=inputs.gpu_memory,
    )
    defaults = {name: info.get_default(call_default_factory=True) for name, info in RunFile.model_fields.items()}
    plain = {name for name, default in defaults.items() if getattr(run, name) == default}
    rest = run.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"spec", *plain})
    content = {"format": run.format, "mode": str(run.mode), **rest, "spec": spec_json(inputs.spec, only_set=True)}
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))
