"""`spec.method.merge`: merging of several results of this project's jobs, without training."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from finetune_api.base import ApiModel, Rule, SecretReference
from finetune_api.uris import CLAIM_RULE, PARENT_RULE

SourceUri = Annotated[
    str, StringConstraints(max_length=1024, pattern=r"^(hf|s3|gs|az|pvc|finetunejob|file)://.+$")
]  # hf://, which a result can't have, is let in here, so that the rule below can say why not
DEFAULT_DENSITY = 0.5


class Combination(StrEnum):
    """How the changes that the sources made to their base become one."""

    LINEAR = "Linear"
    TIES = "TIES"
    DARE_LINEAR = "DARELinear"
    DARE_TIES = "DARETIES"


class MergeSource(ApiModel):
    """The result of another job."""

    rules = (
        Rule(
            cel="!self.uri.startsWith('hf://')",
            holds=lambda source: not source.uri.startswith("hf://"),
            field="uri",
            message="a source is the result of a job: write finetunejob://NAME, or the address of its output",
        ),
        CLAIM_RULE,
        PARENT_RULE,
    )

    uri: SourceUri
    """The job, `finetunejob://name`, which is waited for; or its output folder, or `model/` in that: `s3://`, `gs://`,
    `az://`, `pvc://claim/path` or `file://`."""

    weight: Annotated[float, Field(gt=0, le=1000)] = 1
    """Share of this source; the shares of all are scaled to a sum of 1."""

    secret_ref: SecretReference | None = None
    """Secret with the credentials of the store; for a `finetunejob://` in place of that of its output."""


class Merge(ApiModel):
    """Several results of one base become one model; nothing is trained."""

    rules = (
        Rule(
            cel="!has(self.density) || self.combination != 'Linear'",
            holds=lambda merge: merge.density is None or merge.combination is not Combination.LINEAR,
            field="density",
            message="Linear keeps every change; remove density, or use TIES, DARELinear or DARETIES",
        ),
    )

    sources: Annotated[list[MergeSource], Field(min_length=2, max_length=16)]
    """What is merged. All were tuned from `model`, for the same task with the same labels."""

    combination: Combination = Combination.LINEAR
    """`Linear`: the weighted mean (arXiv:2203.05482). `TIES`: of each source the largest changes, and of these the ones
    that agree with the majority's sign (arXiv:2306.01708). `DARELinear` and `DARETIES`: changes dropped at random and
    the rest scaled up, then the mean, or TIES' choice by sign (arXiv:2311.03099). Drawn with `training.seed`."""

    density: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of each source's changes that is kept (TIES: the largest, DARE: drawn at random). Left out it is 0.5."""

    scale: Annotated[float, Field(gt=0, le=10)] = 1
    """Factor on the merged change. Above 1 where different skills are added up; their mean is weaker than each."""

    @property
    def kept_share(self) -> float:
        """Density: share of each source's changes that is kept."""
        return 1.0 if self.combination is Combination.LINEAR else self.density or DEFAULT_DENSITY

    @property
    def shares(self) -> list[float]:
        """Weights of the sources, normalised to a sum of 1."""
        total = sum(source.weight for source in self.sources)
        return [source.weight / total for source in self.sources]
