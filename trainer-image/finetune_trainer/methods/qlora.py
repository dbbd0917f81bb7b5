"""`QLoRA`: low-rank adapters over a base whose linear modules are kept in 4 bits, by bitsandbytes. Needs a GPU.

The CUDA path follows the libraries' documentation; this project's own tests can't run it.
"""

import tempfile
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from finetune_api.failures import ModelUnsuitable
from finetune_api.method import QLoRA
from finetune_trainer.methods.adapted import Adapted, count_parameters
from finetune_trainer.methods.lora import low_rank_config
from finetune_trainer.methods.peft_adapter import adapted_by, save_adapter
from finetune_trainer.models.module_names import body_linears

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from finetune_api.method import Method
    from finetune_trainer.models.files import ModelFiles

_WHERE = "spec.method.type"
_LIBRARY = "bitsandbytes"  # by name, since only images with CUDA have it


def adapt(model: "PreTrainedModel", files: "ModelFiles", method: "Method", _cache: Path) -> Adapted:
    """Quantise the base's linear modules, put adapters beside them, and train the head in full.

    Raises `ModelUnsuitable` without a GPU or without bitsandbytes, and when `targetModules` name nothing.
    """
    _check_device(model)
    settings = method.qlora or QLoRA()
    total, config = count_parameters(model), low_rank_config(model, settings, "qlora")
    for name in body_linears(model):
        _quantise(model, name, settings)
    model.is_loaded_in_4bit = True  # what PEFT chooses its modules by
    adapted = adapted_by(config, model, files)
    return Adapted(
        model=adapted.model,
        rows=adapted.rows,
        total_parameters=total,
        save=adapted.save,
        merge=partial(merge_into_fresh_base, adapted.model, files),
    )


def _check_device(model: "PreTrainedModel") -> None:
    if model.device.type != "cuda":
        hint = "use LoRA, or a profile with a GPU and compute.gpusPerNode: 1"
        raise ModelUnsuitable("QLoRA needs a GPU, and there is none here", where=_WHERE, hint=hint)
    if find_spec(_LIBRARY) is None:
        hint = "use LoRA, or an image with bitsandbytes in it"
        raise ModelUnsuitable("QLoRA needs bitsandbytes, which is not installed", where=_WHERE, hint=hint)


def _quantise(model: "PreTrainedModel", name: str, settings: QLoRA) -> None:
    """Put a 4-bit module in place of a linear one. GPT-2's Conv1D stays as it is."""
    old = model.get_submodule(name)
    if not isinstance(old, nn.Linear):
        return
    new: Any = import_module(_LIBRARY).nn.Linear4bit(
        old.in_features,
        old.out_features,
        bias=old.bias is not None,
        compute_dtype=torch.bfloat16,
        quant_type=settings.quant_type.lower(),
        compress_statistics=settings.double_quant,
    )
    new.load_state_dict({key: value.cpu() for key, value in old.state_dict().items()})
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, new.to(old.weight.device))  # moving it there quantises


def merge_into_fresh_base(model: Any, files: "ModelFiles", folder: Path) -> None:
    """Merge the adapter into a fresh base in FP32: merging into 4 bits would round it away."""
    from finetune_trainer.models.assembly import merged_with
    from finetune_trainer.models.auto_classes import task_of

    with tempfile.TemporaryDirectory(prefix="finetune-") as scratch:
        save_adapter(model, Path(scratch))
        merged_with(files, Path(scratch), task_of(model.get_base_model())).save_pretrained(folder)
