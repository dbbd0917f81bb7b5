"""`spec.training`: hyperparameters, with defaults by task and method in `status.resolved`."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from finetune_api.base import ApiModel
from finetune_api.policy import Policy
from finetune_api.preference import Preference


class Scheduler(StrEnum):
    """Learning rate schedule after the warm-up."""

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


class Optimizer(StrEnum):
    """What turns gradients into changes of weights."""

    ADAMW = "AdamW"
    ADAMW_8BIT = "AdamW8bit"
    ADAFACTOR = "Adafactor"


class AttnImplementation(StrEnum):
    """What computes attention."""

    AUTO = "Auto"
    EAGER = "Eager"
    SDPA = "SDPA"
    FLASH_ATTENTION_2 = "FlashAttention2"


class Packing(StrEnum):
    """Whether several examples are one sequence of a training pass."""

    AUTO = "Auto"
    ALWAYS = "Always"
    NEVER = "Never"


class ClassWeights(StrEnum):
    """Weights of the classes in the loss."""

    NONE = "None"
    BALANCED = "Balanced"


class LossOn(StrEnum):
    """Tokens of a prompt with its answer, or of a chat, that the loss is computed on."""

    ALL = "All"
    COMPLETION = "Completion"
    ASSISTANT = "Assistant"


class EarlyStopping(ApiModel):
    """Stops when `evaluation.metric` on the validation examples no longer improves."""

    patience: Annotated[int, Field(ge=0, le=1000)] = 3
    """Evaluations without improvement before training stops (`early_stopping_patience`); 0 never stops early."""

    min_delta: Annotated[float, Field(ge=0, le=1e6)] = 0
    """Smallest change that counts as an improvement (`early_stopping_threshold`)."""


class Training(ApiModel):
    """The optimisation: optimizer, learning rate, batches, precision and loss."""

    epochs: Annotated[float, Field(gt=0, le=10_000)] | None = None
    """Passes over the training examples (`num_train_epochs`). Default by task and method; for classes, tags and text to
    text with few examples, as many as make 200 steps, 20 at most."""

    max_steps: Annotated[int, Field(ge=0, le=100_000_000)] = 0
    """Stop after this many optimizer steps, whatever `epochs` says (`max_steps`); 0 means that `epochs` decides."""

    learning_rate: Annotated[float, Field(gt=0, le=10)] | None = None
    """Peak learning rate (`learning_rate`). Default by task and method."""

    batch_size: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Effective batch size: examples per optimizer step, over all devices and accumulation
    (`per_device_train_batch_size` x `gradient_accumulation_steps` x devices). With PolicyOptimization it counts
    prompts, each with all its samples. Default by task and method."""

    per_device_batch_size: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Examples per forward pass on one device (`per_device_train_batch_size`); gradients are accumulated up to
    `batchSize`. 0 means chosen by a token budget. The gradient is the same either way."""

    lr_scheduler_type: Scheduler = Scheduler.LINEAR
    """Learning rate schedule after the warm-up (`lr_scheduler_type`)."""

    warmup_ratio: Annotated[float, Field(ge=0, le=1)] = 0.06
    """Share of the steps over which the learning rate rises from 0 (`warmup_ratio`)."""

    weight_decay: Annotated[float, Field(ge=0, le=10)] = 0.01
    """Decoupled weight decay (`weight_decay`); not applied to biases and norms."""

    optimizer: Optimizer = Optimizer.ADAMW
    """Optimizer (`optim`). `AdamW` (`adamw_torch_fused`, arXiv:1711.05101) keeps 8 bytes of state for each trained
    weight; `AdamW8bit` (`adamw_bnb_8bit`, bitsandbytes, arXiv:2110.02861) keeps 2, but for embeddings and small
    tensors; `Adafactor` (`adafactor`, arXiv:1804.04235; no first moment, the learning rate as it is given) keeps next
    to none. All decay weights apart from the gradient."""

    adam_beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Decay of AdamW's mean of gradients (`adam_beta1`)."""

    adam_beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Decay of AdamW's mean of squared gradients (`adam_beta2`)."""

    adam_epsilon: Annotated[float, Field(gt=0, le=1)] = 1e-8
    """Added to the root of AdamW's mean of squared gradients (`adam_epsilon`)."""

    max_grad_norm: Annotated[float, Field(ge=0, le=1e6)] = 1
    """Gradient clipping: largest norm of the gradient (`max_grad_norm`); 0 means no limit."""

    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 42
    """Seed of new heads, data order and dropout (`seed`): same seed, same result on the same kind of device."""

    precision: Precision = Precision.AUTO
    """Mixed precision (`bf16`, `fp16`). `Auto` is BF16 where the hardware computes it fast, else FP32.
    On a GPU all but `FP32` multiply what is left in FP32 in TF32 (`tf32`)."""

    attn_implementation: AttnImplementation = AttnImplementation.AUTO
    """Attention kernels (`attn_implementation`). `Auto` is what transformers chooses for the model, mostly `SDPA`;
    `FlashAttention2` needs a GPU, half precision and the package flash_attn."""

    packing: Packing = Packing.AUTO
    """Several examples in one sequence of a pass, with attention within each of them (`packing`; CausalLM), instead of
    padding. Loss and gradient are the same. `Auto` packs where FlashAttention2 is in use; elsewhere batches of like
    length, which are the rule, cost no more. Not for architectures that see across examples, which is tried."""

    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0
    """Label smoothing (`label_smoothing_factor`, arXiv:1512.00567). With Preference and RewardModel: the assumed share
    of pairs with swapped answers (conservative DPO), below 0.5."""

    preference: Preference | None = None
    """Loss over pairs of answers (task Preference). Left out, it is DPO with beta 0.1."""

    policy: Policy | None = None
    """How answers are sampled and rewarded (PolicyOptimization, which needs it)."""

    loss_on: LossOn | None = None
    """Loss mask: tokens that the loss is computed on (CausalLM): `All`, `Completion` (the last answer of an example,
    `completion_only_loss`) or `Assistant` (every answer of a chat, `assistant_only_loss`). Left out, it is `All` for
    raw text, `Completion` for prompts and `Assistant` for chats. Metrics are always computed on answers, where
    examples have any."""

    neftune_noise_alpha: Annotated[float, Field(ge=0, le=1000)] = 0
    """Noise on input embeddings while training (NEFTune, `neftune_noise_alpha`, arXiv:2310.05914); 0 means none."""

    activation_checkpointing: bool = False
    """Recompute activations in the backward pass (`activation_checkpointing`, once `gradient_checkpointing`): less
    memory, a quarter to a third slower. Not for FeatureExtraction, which has no backward pass through the base."""

    class_weights: ClassWeights = ClassWeights.NONE
    """Weights of the classes in the loss: `Balanced` is the inverse of the frequency."""

    early_stopping: EarlyStopping = Field(default_factory=EarlyStopping)
    """When to stop before the last epoch. Needs validation examples."""
