"""`spec.checkpoints.resumeFrom`: an unfinished run whose training a new job resumes."""

from typing import Annotated

from pydantic import StringConstraints

from finetune_api.base import ApiModel, SecretReference
from finetune_api.uris import CLAIM_RULE, PARENT_RULE

RunUri = Annotated[str, StringConstraints(max_length=1024, pattern=r"^(finetunejob|s3|gs|az|pvc|file)://.+$")]


class ResumeFrom(ApiModel):
    """A run without a result: one that failed or was stopped. Its checkpoints are read, and stay as they are."""

    rules = (CLAIM_RULE, PARENT_RULE)

    uri: RunUri
    """`finetunejob://name` of a job that failed, or the output folder of a run, `<output.uri>/<job name>/<job uid>`."""

    secret_ref: SecretReference | None = None
    """Secret with the credentials of that place; left out, the one of that job's output."""
