"""Task and method names, and the implemented combinations."""

from enum import StrEnum


class Task(StrEnum):
    """What the model learns to do; the name follows the Hugging Face `AutoModelFor...` classes."""

    SEQUENCE_CLASSIFICATION = "SequenceClassification"
    TOKEN_CLASSIFICATION = "TokenClassification"  # noqa: S105 -- tokens of text, not of access
    SEQ2SEQ = "Seq2Seq"
    CAUSAL_LM = "CausalLM"
    MASKED_LM = "MaskedLM"
    PREFERENCE = "Preference"
    REWARD_MODEL = "RewardModel"
    POLICY_OPTIMIZATION = "PolicyOptimization"


class MethodType(StrEnum):
    """How the weights change; the name follows PEFT where PEFT has it."""

    FULL = "Full"
    FEATURE_EXTRACTION = "FeatureExtraction"
    LORA = "LoRA"
    QLORA = "QLoRA"
    DORA = "DoRA"
    IA3 = "IA3"
    PREFIX_TUNING = "PrefixTuning"
    PROMPT_TUNING = "PromptTuning"
    P_TUNING = "PTuning"
    BOTTLENECK_ADAPTER = "BottleneckAdapter"
    MERGE = "Merge"


class ProblemType(StrEnum):
    """The kinds of sequence classification, as in a Hugging Face config's `problem_type`."""

    AUTO = "Auto"
    SINGLE_LABEL = "SingleLabel"
    MULTI_LABEL = "MultiLabel"
    REGRESSION = "Regression"


COMPARES_OUTPUTS = frozenset({Task.PREFERENCE, Task.REWARD_MODEL, Task.POLICY_OPTIMIZATION})
"""Tasks whose loss compares outputs of one model with each other: with dropout the noise would be part of it."""
VIRTUAL_TOKENS = frozenset({MethodType.PREFIX_TUNING, MethodType.PROMPT_TUNING, MethodType.P_TUNING})
"""Methods that put learned tokens before the input."""
_NO_HEAD_OF_ITS_OWN = frozenset(MethodType) - {MethodType.FEATURE_EXTRACTION}

BUILT: dict[Task, frozenset[MethodType]] = {
    Task.SEQUENCE_CLASSIFICATION: frozenset(MethodType),
    Task.TOKEN_CLASSIFICATION: frozenset(MethodType),
    Task.SEQ2SEQ: _NO_HEAD_OF_ITS_OWN,
    Task.CAUSAL_LM: _NO_HEAD_OF_ITS_OWN,
    Task.MASKED_LM: _NO_HEAD_OF_ITS_OWN - VIRTUAL_TOKENS,
    Task.PREFERENCE: _NO_HEAD_OF_ITS_OWN,
    Task.REWARD_MODEL: frozenset(MethodType),
    Task.POLICY_OPTIMIZATION: _NO_HEAD_OF_ITS_OWN,
}
"""What can run today. Everything else is refused with a message, never ignored (see `checks.support`)."""
