"""Dependencies (`finetunejob://name`): jobs whose results or checkpoints another one needs."""

from typing import Annotated

from pydantic import Field

from finetune_api.base import ApiModel, SecretReference, ShortText
from finetune_api.outcome import Digest, LongUri

MOST_PARENTS = 18
"""Jobs that one spec can name: 16 to merge, a model and a reward model."""
MOST_BASES = 8
"""Adapters may stand on each other this deep."""


class ParentBase(ApiModel):
    """Something that an adapter stands on."""

    uri: LongUri
    """Where it is: a base model, or the output folder of the job that made it."""
    secret_ref: SecretReference | None = None
    """Secret of that place."""


class Parent(ApiModel):
    """A job that has ended: another one starts from its tuned model, merges it, is rewarded by it, or continues it."""

    name: ShortText
    """Name of the job, in the same namespace."""
    uid: ShortText
    """Its UID."""
    output: LongUri
    """Its output folder, `<output.uri>/<name>/<uid>`; the model is below `model/`."""
    digest: Digest
    """SHA-256 of its final manifest: what the trainer verifies before it reads anything else. Empty for a job that
    failed, of which the checkpoints are used: each of them has a manifest of its own."""
    secret_ref: SecretReference | None = None
    """Secret of its output; a `secretRef` beside the `finetunejob://` goes before it."""
    bases: Annotated[list[ParentBase], Field(max_length=MOST_BASES)] = Field(default_factory=list)
    """What its model stands on where that may be an adapter, the nearest first: only what needs a claim or a Secret."""
