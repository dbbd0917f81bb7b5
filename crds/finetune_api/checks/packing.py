"""Checks of attention and packing: what of the job rules out several examples in one sequence."""

from collections.abc import Iterator

from finetune_api.failures import Problem
from finetune_api.spec import Spec
from finetune_api.tasks import VIRTUAL_TOKENS, MethodType, Task
from finetune_api.training import AttnImplementation, Packing, Precision


def why_never(spec: Spec) -> str:
    """Why rows of this job are never packed, whatever its model; empty where they may be."""
    training, method = spec.training, spec.method.type
    if spec.task is not Task.CAUSAL_LM or method is MethodType.MERGE:
        return "it is for training on CausalLM"
    if method in VIRTUAL_TOKENS:
        return f"{method} puts virtual tokens in front of each sequence, not of each row in it"
    if training.neftune_noise_alpha:
        return "neftuneNoiseAlpha is scaled by the length of a row"
    if training.attn_implementation is AttnImplementation.EAGER:
        return "Eager attention knows no rows within a sequence"
    return ""


def packing_problems(spec: Spec) -> Iterator[Problem]:
    """Yield problems of packing and attention kernels with the rest of a job."""
    training = spec.training
    why = why_never(spec) if training.packing is Packing.ALWAYS and spec.task is Task.CAUSAL_LM else ""
    if why:
        yield Problem(f"rows can't be packed: {why}", "spec.training.packing", "remove one of the two")
    if training.attn_implementation is AttnImplementation.FLASH_ATTENTION_2 and training.precision is Precision.FP32:
        message, hint = "FlashAttention2 computes in half precision only", "use SDPA, or precision BF16"
        yield Problem(message, "spec.training.attnImplementation", hint)
