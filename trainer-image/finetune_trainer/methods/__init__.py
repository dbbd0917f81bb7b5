"""Methods: how weights change, one function per method, from a model to what the loop trains."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from finetune_api.tasks import MethodType
from finetune_trainer.methods import bottleneck, feature_extraction, full, ia3, lora, merge, prompts, qlora
from finetune_trainer.methods.adapted import Adapted

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from finetune_api.method import Method
    from finetune_trainer.models.files import ModelFiles

Adapt = Callable[["PreTrainedModel", "ModelFiles", "Method", Path], Adapted]

METHODS: dict[MethodType, Adapt] = {
    MethodType.FULL: full.adapt,
    MethodType.FEATURE_EXTRACTION: feature_extraction.adapt,
    MethodType.LORA: lora.adapt,
    MethodType.QLORA: qlora.adapt,
    MethodType.DORA: lora.adapt_dora,
    MethodType.IA3: ia3.adapt,
    MethodType.PREFIX_TUNING: prompts.adapt_prefix,
    MethodType.PROMPT_TUNING: prompts.adapt_prompt,
    MethodType.P_TUNING: prompts.adapt_p_tuning,
    MethodType.BOTTLENECK_ADAPTER: bottleneck.adapt,
    MethodType.MERGE: merge.adapt,
}
"""All methods; which of them a task can use says `finetune_api.tasks.BUILT`."""

__all__ = ["METHODS", "Adapted"]
