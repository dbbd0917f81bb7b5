"""Merging of an adapter into its base, module by module."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from finetune_trainer.models.meta_model import is_on_meta
from finetune_trainer.models.weights_dtype import export_dtype

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

_SHARD = "2GB"
"""Size of a weight file: safetensors serializes a whole file in memory."""


def merge_adapter(model: "PeftModel", dtype: torch.dtype = torch.float32) -> "PreTrainedModel":
    """The base with the adapter merged into its weights, and the trained head. Consumes `model`.

    Each weight is merged in FP32 and rounded to `dtype` once, one after the other and in the place of the base's: there
    never are two models, and no more than one weight in FP32 where the base is in half precision.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils import ModulesToSaveWrapper

    base = model.get_base_model()
    for name, module in list(base.named_modules()):
        if isinstance(module, ModulesToSaveWrapper):  # PEFT itself trips over a head of several modules, save for LoRA
            trained: Any = module.modules_to_save[module.active_adapter]
            base.set_submodule(name, trained)
    if not is_on_meta(base):
        for layer in list(base.modules()):
            if isinstance(layer, BaseTunerLayer):
                _merge_layer(layer, dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # all are merged already, indeed
        merged: PreTrainedModel = model.merge_and_unload()
    return merged


@torch.no_grad()
def _merge_layer(layer: Any, dtype: torch.dtype) -> None:
    """Merge a PEFT layer into its base layer. Raises `ValueError` for a result that is not finite."""
    base = layer.get_base_layer()
    tensors: list[Tensor] = [tensor for tensor in base.parameters() if tensor.is_floating_point()]
    for tensor in tensors:
        tensor.data = tensor.data.float()
    layer.merge(safe_merge=True)
    for tensor in base.parameters():
        tensor.data = tensor.data.to(export_dtype(tensor, dtype))


def save_whole(model: "PreTrainedModel", folder: Path) -> None:
    """Write a whole model as shards of bounded size."""
    model.save_pretrained(folder, max_shard_size=_SHARD)
