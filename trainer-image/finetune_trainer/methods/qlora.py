"""`QLoRA`: LoRA adapters in FP32 over a base whose linear modules are in 4 bits, by bitsandbytes."""

import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from finetune_api.failures import ModelUnsuitable
from finetune_api.method import QLoRA
from finetune_trainer.methods.adapted import Adapted
from finetune_trainer.methods.lora import low_rank_config, with_loraplus
from finetune_trainer.methods.peft_adapter import adapted_by, save_adapter
from finetune_trainer.models.module_names import body_linears

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from finetune_api.method import Method
    from finetune_trainer.models.files import ModelFiles

_WHERE = "spec.method.type"


def adapt(model: "PreTrainedModel", files: "ModelFiles", method: "Method", _cache: Path) -> Adapted:
    """Add LoRA adapters to the 4-bit modules, which `ModelLoading` has quantized, and train the head in full.

    Raises `ModelUnsuitable` for a model none of whose linear modules can be quantized, and when `targetModules` name
    nothing.
    """
    if not quantized_sizes(model).keys() & set(body_linears(model)):
        message = f"a {model.config.model_type} model has no linear modules that bitsandbytes can quantize"
        raise ModelUnsuitable(message, where=_WHERE, hint="use method LoRA, which keeps the base as it is")
    settings = method.qlora or QLoRA()
    adapted = adapted_by(low_rank_config(model, settings, "qlora"), model, files)
    merge = partial(merge_into_fresh_base, adapted.model, files)
    return with_loraplus(replace(adapted, merge=merge), settings)


def quantized_sizes(model: torch.nn.Module) -> dict[str, int]:
    """Number of weights of each 4-bit module by name."""
    from bitsandbytes.nn import Linear4bit  # type: ignore[attr-defined]  # it declares no exports

    return {
        name: module.in_features * module.out_features
        for name, module in model.named_modules()
        if isinstance(module, Linear4bit)
    }


def merge_into_fresh_base(model: Any, files: "ModelFiles", folder: Path, dtype: torch.dtype) -> None:
    """Merge the adapter into an unquantized base, in FP32 and rounded once: merging into 4 bits would lose it."""
    from finetune_trainer.models.adapter_merge import save_whole
    from finetune_trainer.models.assembly import merged_with
    from finetune_trainer.models.auto_classes import task_of

    with tempfile.TemporaryDirectory(prefix="finetune-") as scratch:
        save_adapter(model, Path(scratch))
        save_whole(merged_with(files, Path(scratch), task_of(model.get_base_model()), dtype), folder)
