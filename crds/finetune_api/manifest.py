"""`MANIFEST.json`: last file of an output or checkpoint, without which the folder is invalid."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, StringConstraints

from finetune_api.base import ApiModel, ShortText
from finetune_api.outcome import Digest, LongUri, Message, Metrics, Outcome

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
MANIFEST_NAME = "MANIFEST.json"


class FileEntry(ApiModel):
    """One file of the folder, with size and hash."""

    path: Annotated[str, StringConstraints(min_length=1, max_length=1024)]
    """Path below the folder, with forward slashes."""
    size: Annotated[int, Field(ge=0)]
    """Size in bytes."""
    sha256: Sha256
    """SHA-256 of the content, in hexadecimal."""


class MergedResult(ApiModel):
    """A merged result of another job."""

    uri: LongUri
    """Its output folder, as the job names it."""
    uid: ShortText
    """UID of the job."""
    digest: Digest
    """SHA-256 of its final manifest."""
    share: Annotated[float, Field(gt=0, le=1)]
    """Its share."""


class ResumedRun(ApiModel):
    """The run that this one resumed."""

    job: ShortText
    """Name of its job."""
    uid: ShortText
    """UID of its job."""
    uri: LongUri
    """Folder of the checkpoint."""
    step: Annotated[int, Field(ge=0)]
    """Optimizer steps that were done there."""
    digest: Digest
    """SHA-256 of the manifest of the checkpoint."""


class Lineage(ApiModel):
    """Digests and versions of all inputs of a result."""

    spec_digest: Sha256
    """SHA-256 of the spec as canonical JSON."""
    data_digest: Sha256
    """SHA-256 over the rows of all splits after cleaning."""
    model_uri: Message
    """The base model as the job names it."""
    model_revision: ShortText = ""
    """Commit of an `hf://` base model."""
    model_digest: Sha256
    """SHA-256 over the base model's weight files."""
    parent_uid: ShortText = ""
    """UID of the job whose result is the base model; empty for other models."""
    merged: Annotated[list[MergedResult], Field(max_length=16)] = Field(default_factory=list)
    """Results that were merged into this one."""
    resumed_run: Annotated[ResumedRun | None, Field(exclude_if=lambda run: run is None)] = None
    """The run that `checkpoints.resumeFrom` named; left out for most, so that older trainers read their checkpoints."""
    versions: Annotated[dict[str, str], Field(max_length=32)] = Field(default_factory=dict)
    """Versions of the libraries that took part."""


class Manifest(ApiModel):
    """Files of the folder, and their lineage."""

    format: Literal["finetune.dev/manifest/v1"] = "finetune.dev/manifest/v1"
    job: ShortText
    """Name of the job."""
    uid: ShortText
    """UID of the job."""
    outcome: Outcome
    """Succeeded or GateFailed."""
    created_at: AwareDatetime
    """When it was written."""
    files: Annotated[list[FileEntry], Field(max_length=10_000)]
    """All files of the folder but this one, sorted by path."""
    lineage: Lineage
    """What the result was made from."""
    metrics: Metrics = Field(default_factory=dict)
    """Metrics of the tuned model on the test rows."""
