"""`spec.model`: base model."""

from typing import Annotated

from pydantic import Field, StringConstraints

from finetune_api.base import ApiModel, Rule, SecretReference, ShortText, unset
from finetune_api.uris import CLAIM_RULE, PARENT_RULE

ModelUri = Annotated[
    str,
    StringConstraints(max_length=1024, pattern=r"^(hf|s3|gs|az|pvc|finetunejob|file)://.+$"),
]


class ModelSource(ApiModel):
    """A pretrained model in Hugging Face layout: config, safetensors weights and tokenizer."""

    rules = (
        Rule(
            cel=f"{unset('revision')} || self.uri.startsWith('hf://')",
            holds=lambda m: not m.revision or m.uri.startswith("hf://"),
            field="revision",
            message="revision applies to hf:// models only; remove it or use an hf:// uri",
        ),
        CLAIM_RULE,
        PARENT_RULE,
    )

    uri: ModelUri
    """Where the model is: `hf://owner/name`, `s3://`, `gs://` or `az://` bucket and prefix, `pvc://claim/path`,
    `finetunejob://name` (the result of another job), or `file://` below a folder that the administrator allows.
    Local runs may use any `file://` path; `file://./x` is relative to the manifest."""

    revision: ShortText = ""
    """Commit, tag or branch of an `hf://` model. Pin a commit for a run that can be repeated."""

    secret_ref: SecretReference | None = Field(default=None)
    """Secret with the credentials for the model's store, or with `token` for a gated hub model."""
