"""`FineTuneJob.spec`."""

from pydantic import Field

from finetune_api.base import ApiModel, Rule
from finetune_api.data import Data
from finetune_api.evaluation import Evaluation
from finetune_api.method import Method
from finetune_api.model import ModelSource
from finetune_api.output import Checkpoints, Compute, Output, Predict, RunPolicy
from finetune_api.tasks import MethodType, Task
from finetune_api.training import Training

MUTABLE = frozenset({"runPolicy"})
"""Fields of the spec that may be changed while the job exists."""
_HAS_TRAINING_ROWS = "(has(self.data.train) && size(self.data.train) > 0)"
_MERGES = "(has(self.method) && self.method.type == 'Merge')"


class Spec(ApiModel):
    """What to fine-tune, on what, how, and what the result must reach. Immutable except `runPolicy`."""

    rules = (
        Rule(
            cel=f"{_HAS_TRAINING_ROWS} || {_MERGES}",
            holds=lambda spec: bool(spec.data.train) or spec.method.type is MethodType.MERGE,
            field="data.train",
            message="there are no training rows: name their files, for example file://./train.csv",
        ),
        Rule(
            cel=f"!({_MERGES}) || (has(self.data.test) && size(self.data.test) > 0) || "
            f"({_HAS_TRAINING_ROWS} && (!has(self.data.split) || self.data.split.test > 0))",
            holds=lambda spec: (
                spec.method.type is not MethodType.MERGE
                or bool(spec.data.test or (spec.data.train and spec.data.split.test))
            ),
            field="data.test",
            message="a merged model is always measured: name test rows, or in data.train the rows to split them from",
        ),
    )

    task: Task
    """Task of the model."""

    model: ModelSource
    """The base model."""

    data: Data
    """Examples for training, validation and test."""

    method: Method = Field(default_factory=Method)
    """Fine-tuning method: full, LoRA, QLoRA and others."""

    training: Training = Field(default_factory=Training)
    """Hyperparameters of the optimization."""

    evaluation: Evaluation = Field(default_factory=Evaluation)
    """Metrics, gates and baselines."""

    checkpoints: Checkpoints = Field(default_factory=Checkpoints)
    """Checkpoints to resume from."""

    output: Output
    """Where the model and the report go."""

    predict: Predict | None = None
    """Batch prediction with the fine-tuned model."""

    compute: Compute = Field(default_factory=Compute)
    """What the job runs on in a cluster."""

    run_policy: RunPolicy = Field(default_factory=RunPolicy)
    """Retries, deadlines, suspension and clean-up."""
