"""The job that another one goes on from: `model.uri: finetunejob://name`."""

from finetune_api.base import ApiModel, SecretReference, ShortText
from finetune_api.outcome import Digest, LongUri


class Parent(ApiModel):
    """A finished job whose tuned model is another's base model."""

    name: ShortText
    """Name of the job, in the same namespace."""
    uid: ShortText
    """Its UID."""
    output: LongUri
    """Its output folder, `<output.uri>/<name>/<uid>`; the model is below `model/`."""
    digest: Digest
    """SHA-256 of its final manifest: what the trainer verifies before it reads anything else."""
    secret_ref: SecretReference | None = None
    """Secret of the parent's output; `model.secretRef` of the job itself goes before it."""
