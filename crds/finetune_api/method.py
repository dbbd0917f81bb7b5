"""`spec.method`: fine-tuning method, with its settings in the block of the same name."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints
from pydantic.alias_generators import to_camel

from finetune_api.base import ApiModel, Rule
from finetune_api.merge import Merge
from finetune_api.tasks import MethodType

ModuleName = Annotated[str, StringConstraints(min_length=1, max_length=128)]
ModuleNames = Annotated[list[ModuleName], Field(max_length=32)]
VirtualTokens = Annotated[int, Field(ge=1, le=1024)]


class Full(ApiModel):
    """All weights are trained."""

    trainable_layers: Annotated[int, Field(ge=0, le=1000)] = 0
    """Train only the top this many layers and the head; 0 trains all."""

    layerwise_lr_decay: Annotated[float, Field(gt=0, le=1)] = 1
    """Factor on the learning rate for each layer further from the head (`layerwise_lr_decay`); 1 means the same
    everywhere."""


class Pooling(StrEnum):
    """Which vector of a frozen base stands for a text."""

    AUTO = "Auto"
    HEAD = "Head"
    MEAN = "Mean"


class Solver(StrEnum):
    """How the head over a frozen base is found."""

    AUTO = "Auto"
    LBFGS = "LBFGS"
    ADAMW = "AdamW"


class FeatureExtraction(ApiModel):
    """The base model stays frozen and encodes each row once; only the head is trained, on stored features."""

    rules = (
        Rule(
            cel="!has(self.headDropout) || self.headHiddenSize > 0",
            holds=lambda f: f.head_dropout is None or f.head_hidden_size > 0,
            field="headDropout",
            message="headDropout comes after the hidden layer, and there is none; set headHiddenSize, or remove it",
        ),
        Rule(
            cel="!has(self.headHiddenSize) || self.headHiddenSize == 0 || !has(self.solver) || self.solver != 'LBFGS'",
            holds=lambda f: not f.head_hidden_size or f.solver is not Solver.LBFGS,
            field="solver",
            message="LBFGS solves a head that is linear; remove headHiddenSize, or set solver: AdamW",
        ),
    )

    pooling: Pooling = Pooling.AUTO
    """`Head` is the position that the classification head of the model class looks at (the first token of BERT,
    the last of a decoder), `Mean` the mean over all tokens, which mostly carries more while the base is frozen.
    `Auto` is what the model says of itself (sentence-transformers), else `Mean` where it can be built. Either
    way the result is an ordinary model of its class."""

    solver: Solver = Solver.AUTO
    """`LBFGS` solves the output layer over the stored features as the convex problem that it is (logistic regression,
    ridge regression), for falling strengths of an L2 penalty of which `evaluation.metric` chooses one. `AdamW` trains
    the whole head in steps. `Auto` is LBFGS unless the job says how to train (`epochs`, `learningRate`, `batchSize`,
    `maxSteps`, `lrSchedulerType` and the like), weighs or orders its data, or has a hidden layer."""

    head_hidden_size: Annotated[int, Field(ge=0, le=65536)] = 0
    """Width of a hidden layer with ReLU in the head, before the layer that gives the logits; 0 keeps the head of the
    model class. No class of transformers has such a layer, so that the result loads with this project only."""

    head_dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Dropout after the hidden layer of the head. Left out, it is 0.1."""

    @property
    def dropout(self) -> float:
        """Dropout after the hidden layer."""
        return 0.1 if self.head_dropout is None else self.head_dropout


ADAPTER_DROPOUT = 0.05
"""Dropout on the input of low-rank adapters where a job leaves it out."""


class LoRA(ApiModel):
    """Low-rank adapters beside frozen weights (Hu et al. 2021, arXiv:2106.09685)."""

    rank: Annotated[int, Field(ge=1, le=1024)] = 8
    """Rank of the update matrices (`r`, `lora_r`)."""

    alpha: Annotated[float, Field(gt=0, le=4096)] = 16
    """Scale (`lora_alpha`): the update is multiplied by alpha / rank (alpha / sqrt(rank) with `rankStabilized`)."""

    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Dropout on the adapter's input (`lora_dropout`). Left out, it is 0.05; 0 for Preference, RewardModel and
    PolicyOptimization, which compare outputs of one model with each other."""

    target_modules: ModuleNames = Field(default_factory=list)
    """Linear modules that get an adapter (`target_modules`), by the ends of their names; empty means all of the base
    model (`all-linear`)."""

    rank_stabilized: bool = False
    """Scale by alpha / sqrt(rank) (`use_rslora`; rsLoRA, arXiv:2312.03732)."""

    loraplus_lr_ratio: Annotated[float, Field(gt=0, le=1000)] = 1
    """Learning rate of the matrices B as a multiple of `learningRate`, which the matrices A have (`loraplus_lr_ratio`;
    LoRA+, arXiv:2402.12354, which takes 16); 1 is LoRA."""


class QuantType(StrEnum):
    """4-bit data types of bitsandbytes."""

    NF4 = "NF4"
    FP4 = "FP4"


class QLoRA(LoRA):
    """LoRA over a base that is stored in 4 bits (Dettmers et al. 2023, arXiv:2305.14314)."""

    quant_type: QuantType = QuantType.NF4
    """4-bit data type (`bnb_4bit_quant_type`)."""

    double_quant: bool = True
    """Quantize the quantization constants too (`bnb_4bit_use_double_quant`)."""


class DoRA(LoRA):
    """LoRA on weights decomposed into magnitude and direction (`use_dora`; Liu et al. 2024, arXiv:2402.09353)."""


class IA3(ApiModel):
    """Learned scales on keys, values and feed-forward activations (Liu et al. 2022, arXiv:2205.05638)."""

    target_modules: ModuleNames = Field(default_factory=list)
    """Modules that are scaled (`target_modules`); empty means inferred from the architecture."""

    feedforward_modules: ModuleNames = Field(default_factory=list)
    """Target modules that are feed-forward layers (`feedforward_modules`); empty means inferred."""


class PrefixTuning(ApiModel):
    """Learned keys and values before every layer's own (Li and Liang 2021, arXiv:2101.00190)."""

    num_virtual_tokens: VirtualTokens = 20
    """Length of the prefix in tokens (`num_virtual_tokens`)."""

    projection: bool = False
    """Compute the prefix by a small MLP instead of storing it (`prefix_projection`)."""


class PromptTuning(ApiModel):
    """Learned embeddings before the input (Lester et al. 2021, arXiv:2104.08691)."""

    num_virtual_tokens: VirtualTokens = 20
    """Length of the prompt in tokens (`num_virtual_tokens`)."""

    init_text: Annotated[str, StringConstraints(max_length=4096)] = ""
    """Text whose embeddings initialize the prompt (`prompt_tuning_init_text`); empty means random vocabulary
    entries."""


class PTuning(ApiModel):
    """Learned prompt made by a small encoder (Liu et al. 2021, arXiv:2103.10385)."""

    num_virtual_tokens: VirtualTokens = 20
    """Length of the prompt in tokens (`num_virtual_tokens`)."""

    encoder_hidden_size: Annotated[int, Field(ge=1, le=65536)] = 128
    """Hidden size of the prompt encoder (`encoder_hidden_size`)."""


class AdapterStyle(StrEnum):
    """Where bottleneck adapters sit in a layer."""

    HOULSBY = "Houlsby"
    PFEIFFER = "Pfeiffer"


class BottleneckAdapter(ApiModel):
    """Small networks inside frozen layers (Houlsby et al. 2019, arXiv:1902.00751)."""

    style: AdapterStyle = AdapterStyle.PFEIFFER
    """`Houlsby`: after attention and feed-forward; `Pfeiffer`: after feed-forward only (arXiv:2005.00247)."""

    reduction_factor: Annotated[int, Field(ge=1, le=1024)] = 16
    """Hidden size divided by the adapter's width."""


BLOCKS: dict[MethodType, str] = {
    MethodType.FULL: "full",
    MethodType.FEATURE_EXTRACTION: "feature_extraction",
    MethodType.LORA: "lora",
    MethodType.QLORA: "qlora",
    MethodType.DORA: "dora",
    MethodType.IA3: "ia3",
    MethodType.PREFIX_TUNING: "prefix_tuning",
    MethodType.PROMPT_TUNING: "prompt_tuning",
    MethodType.P_TUNING: "p_tuning",
    MethodType.BOTTLENECK_ADAPTER: "bottleneck_adapter",
    MethodType.MERGE: "merge",
}
"""The field of `Method` that belongs to each type."""


MERGEABLE = frozenset({MethodType.LORA, MethodType.QLORA, MethodType.DORA, MethodType.IA3})
"""Methods whose adapter can become part of the base's weights."""


_LOW_RANK: dict[MethodType, type[LoRA]] = {MethodType.LORA: LoRA, MethodType.QLORA: QLoRA, MethodType.DORA: DoRA}


def _block_rule(method: MethodType, attribute: str) -> Rule:
    block = to_camel(attribute)
    return Rule(
        cel=f"!has(self.{block}) || self.type == '{method}'",
        holds=lambda m: getattr(m, attribute) is None or m.type is method,
        field=block,
        message=f"the block {block} belongs to type {method}; remove it or set type: {method}",
    )


class Method(ApiModel):
    """The method and, optionally, its settings."""

    rules = (
        *(_block_rule(method, attribute) for method, attribute in BLOCKS.items()),
        Rule(
            cel="self.type != 'Merge' || has(self.merge)",
            holds=lambda m: m.type is not MethodType.MERGE or m.merge is not None,
            field="merge",
            message="type Merge needs merge.sources: the results to merge",
        ),
    )

    type: MethodType = MethodType.LORA
    """`Full`, `FeatureExtraction`, `LoRA`, `QLoRA`, `DoRA`, `IA3`, `PrefixTuning`, `PromptTuning`, `PTuning` or
    `BottleneckAdapter`; or `Merge`, which trains nothing and makes one model of several results."""

    full: Full | None = None
    """Settings of `Full`."""
    feature_extraction: FeatureExtraction | None = None
    """Settings of `FeatureExtraction`."""
    lora: LoRA | None = None
    """Settings of `LoRA`."""
    qlora: QLoRA | None = None
    """Settings of `QLoRA`."""
    dora: DoRA | None = None
    """Settings of `DoRA`."""
    ia3: IA3 | None = None
    """Settings of `IA3`."""
    prefix_tuning: PrefixTuning | None = None
    """Settings of `PrefixTuning`."""
    prompt_tuning: PromptTuning | None = None
    """Settings of `PromptTuning`."""
    p_tuning: PTuning | None = None
    """Settings of `PTuning`."""
    bottleneck_adapter: BottleneckAdapter | None = None
    """Settings of `BottleneckAdapter`."""
    merge: Merge | None = None
    """Settings of `Merge`."""

    def without_adapter_dropout(self) -> "Method":
        """The method with an adapter dropout of 0 where the job leaves it open."""
        block = BLOCKS[self.type]
        if self.type not in _LOW_RANK:
            return self
        settings: LoRA = getattr(self, block) or _LOW_RANK[self.type]()
        none = settings if settings.dropout is not None else settings.model_copy(update={"dropout": 0.0})
        return self.model_copy(update={block: none})

    @property
    def virtual_tokens(self) -> int:
        """Number of input positions that the method occupies."""
        if self.type is MethodType.PREFIX_TUNING:
            return (self.prefix_tuning or PrefixTuning()).num_virtual_tokens
        if self.type is MethodType.PROMPT_TUNING:
            return (self.prompt_tuning or PromptTuning()).num_virtual_tokens
        return (self.p_tuning or PTuning()).num_virtual_tokens if self.type is MethodType.P_TUNING else 0
