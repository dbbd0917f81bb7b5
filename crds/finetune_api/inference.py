"""`model/finetune.json`: what is needed, beside the weights, to give the model inputs as it saw them in training."""

from typing import Annotated, Literal

from pydantic import Field

from finetune_api.base import ApiModel
from finetune_api.data import Clean, Columns
from finetune_api.evaluation import Generation
from finetune_api.tasks import MethodType, ProblemType, Task

INFERENCE_NAME = "finetune.json"


class InferenceSettings(ApiModel):
    """How to prepare inputs and read outputs of a tuned model."""

    format: Literal["finetune.dev/model/v1"] = "finetune.dev/model/v1"
    task: Task
    """What the model does."""
    method: MethodType
    """How it was tuned."""
    problem_type: ProblemType
    """SingleLabel, MultiLabel or Regression."""
    labels: list[str] = Field(default_factory=list)
    """Names of the labels in the order of the logits."""
    max_length: Annotated[int, Field(ge=1)]
    """Longest input in tokens."""
    columns: Columns
    """Which column plays which role."""
    clean: Clean
    """Cleaning of the texts."""
    prefix: str = ""
    """What all training sources put in front of an input; empty where they differ."""
    prompt_template: str | None = None
    """How a prompt is put to the model; left out, by its chat template where it has one (CausalLM)."""
    split_special_tokens: bool = True
    """Whether special tokens that a prompt spells are encoded as text."""
    generation: Generation | None = None
    """How text is written, by models that write."""
