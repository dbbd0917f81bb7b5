"""`spec.training`: the optimisation. What is left out is set by task and method, and shown in `status.resolved`."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from finetune_api.base import ApiModel
from finetune_api.policy import Policy
from finetune_api.preference import Preference


class Scheduler(StrEnum):
    """How the learning rate goes from its peak towards the end, after the warm-up."""

    LINEAR = "Linear"
    COSINE = "Cosine"
    CONSTANT = "Constant"
    POLYNOMIAL = "Polynomial"
    INVERSE_SQRT = "InverseSqrt"


class Precision(StrEnum):
    """Number format of the forward and backward pass; weights that are trained stay in FP32."""

    AUTO = "Auto"
    FP32 = "FP32"
    BF16 = "BF16"
    FP16 = "FP16"


class ClassWeights(StrEnum):
    """Weights of the classes in the loss."""

    NONE = "None"
    BALANCED = "Balanced"


class LossOn(StrEnum):
    """Which tokens of a prompt with its answer, or of a chat, are learned."""

    ALL = "All"
    COMPLETION = "Completion"
    ASSISTANT = "Assistant"


class EarlyStopping(ApiModel):
    """Stops when `evaluation.metric` on the validation rows no longer improves."""

    patience: Annotated[int, Field(ge=0, le=1000)] = 3
    """Evaluations without improvement before training stops; 0 never stops early."""

    min_delta: Annotated[float, Field(ge=0, le=1e6)] = 0
    """Least change that counts as an improvement."""


class Training(ApiModel):
    """The optimisation: AdamW with decoupled weight decay (arXiv:1711.05101)."""

    epochs: Annotated[float, Field(gt=0, le=10_000)] | None = None
    """Passes over the training rows. Default by task and method; for classes, tags and text to text with few rows, as
    many as make 200 steps, 20 at most."""

    max_steps: Annotated[int, Field(ge=0, le=100_000_000)] = 0
    """Stop after this many optimiser steps, whatever `epochs` says (as `max_steps` of `TrainingArguments`); 0 means
    `epochs` decides."""

    learning_rate: Annotated[float, Field(gt=0, le=10)] | None = None
    """Peak learning rate. Default by task and method."""

    batch_size: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Rows an optimiser step, over all devices and accumulation. With PolicyOptimization they are prompts, each with
    all its samples. Default by task and method."""

    device_batch_size: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Rows a forward pass on one device; what is missing to `batchSize` is accumulated. 0 means chosen by a token
    budget. The gradient is the same either way."""

    scheduler: Scheduler = Scheduler.LINEAR
    """Shape of the learning rate after the warm-up."""

    warmup_ratio: Annotated[float, Field(ge=0, le=1)] = 0.06
    """Share of the steps over which the learning rate rises from 0."""

    weight_decay: Annotated[float, Field(ge=0, le=10)] = 0.01
    """Decoupled weight decay; biases and norms are left out."""

    max_grad_norm: Annotated[float, Field(ge=0, le=1e6)] = 1
    """Gradients are scaled down to this norm; 0 means no limit."""

    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 42
    """Seed of initial heads, order and dropout: same seed, same result on one device kind."""

    precision: Precision = Precision.AUTO
    """`Auto` is BF16 where the hardware computes it fast, else FP32."""

    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0
    """Label smoothing (arXiv:1512.00567). With Preference and RewardModel: the share of pairs that are taken to be the
    wrong way round (conservative DPO), below 0.5."""

    preference: Preference | None = None
    """What is minimised over pairs of answers (Preference). Left out, it is DPO's loss with beta 0.1."""

    policy: Policy | None = None
    """How answers are sampled and rewarded (PolicyOptimization, which needs it)."""

    loss_on: LossOn | None = None
    """Which tokens are learned (CausalLM): `All`, `Completion` (the last answer of a row) or `Assistant` (every answer
    of a chat). Left out, it is `All` for raw text, `Completion` for prompts and `Assistant` for chats. Figures are
    always taken on answers, where rows have any."""

    neftune_alpha: Annotated[float, Field(ge=0, le=1000)] = 0
    """Noise on input embeddings while training (NEFTune, arXiv:2310.05914); 0 means none."""

    activation_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, a quarter to a third slower. Not for FeatureExtraction,
    which has no backward pass through the base."""

    class_weights: ClassWeights = ClassWeights.NONE
    """`Balanced` weighs each class by the inverse of its frequency."""

    early_stopping: EarlyStopping = Field(default_factory=EarlyStopping)
    """When to stop before the last epoch. Needs validation rows."""
