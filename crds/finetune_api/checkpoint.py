"""`CheckpointManifest`: the last file of a checkpoint folder `checkpoints/<attempt>/<step>/` in the output."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from finetune_api.base import ApiModel, ShortText
from finetune_api.manifest import FileEntry, Lineage

CHECKPOINTS = "checkpoints"
"""Folder of the output that holds them."""


class CheckpointManifest(ApiModel):
    """What is in a checkpoint. Without a valid one, a folder is no checkpoint."""

    format: Literal["finetune.dev/checkpoint/v1"] = "finetune.dev/checkpoint/v1"
    job: ShortText
    """Name of the job."""
    uid: ShortText
    """UID of the job."""
    attempt: Annotated[int, Field(ge=1)]
    """Number of the claim that it was written under."""
    step: Annotated[int, Field(ge=0)]
    """Optimiser steps that are done."""
    epoch: Annotated[float, Field(ge=0)]
    """Passes over the training rows that are done."""
    created_at: AwareDatetime
    """When it was written; for people, nothing is ordered by it."""
    files: Annotated[list[FileEntry], Field(min_length=1, max_length=10_000)]
    """All files of the folder but this one, sorted by path."""
    lineage: Lineage
    """What the training started from. Only a job of the same data and model goes on from here, and of the same spec
    unless it names this run in `checkpoints.resumeFrom`."""
    metric: float | None = None
    """Newest value of `evaluation.metric` on the validation rows; missing before the first evaluation."""
    resumed_from: Annotated[int, Field(ge=0)] | None = None
    """Step that the attempt itself went on from."""
