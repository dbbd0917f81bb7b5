"""How the weights change: one module a method, each of which turns a model into something the loop can train."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from finetune_api.tasks import MethodType
from finetune_trainer.methods import feature_extraction, full, lora
from finetune_trainer.methods.adapted import Adapted

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from finetune_api.method import Method
    from finetune_trainer.models.files import ModelFiles

Adapt = Callable[["PreTrainedModel", "ModelFiles", "Method", Path], Adapted]

METHODS: dict[MethodType, Adapt] = {
    MethodType.FULL: full.adapt,
    MethodType.LORA: lora.adapt,
    MethodType.FEATURE_EXTRACTION: feature_extraction.adapt,
}
"""The methods that are built; the keys agree with `finetune_api.tasks.BUILT`."""

__all__ = ["METHODS", "Adapted"]
