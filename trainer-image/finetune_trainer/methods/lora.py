"""`LoRA` and `DoRA`: low-rank adapters beside frozen weights, by PEFT (arXiv:2106.09685)."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from finetune_api.method import ADAPTER_DROPOUT, DoRA, LoRA
from finetune_trainer.methods.adapted import Adapted
from finetune_trainer.methods.peft_adapter import adapted_by, task_type
from finetune_trainer.methods.targets import chosen_modules
from finetune_trainer.models.module_names import head_modules, stores_weights_transposed

if TYPE_CHECKING:
    from peft import LoraConfig
    from transformers import PreTrainedModel

    from finetune_api.method import Method
    from finetune_trainer.models.files import ModelFiles

_MATRICES_B = ("lora_B", "lora_embedding_B")


def adapt(model: "PreTrainedModel", files: "ModelFiles", method: "Method", _cache: Path) -> Adapted:
    """Freeze the base, add LoRA adapters to its linear modules, and train the head in full.

    Raises `ModelUnsuitable` when `targetModules` name nothing in this model.
    """
    settings = method.lora or LoRA()
    return with_loraplus(adapted_by(low_rank_config(model, settings, "lora"), model, files), settings)


def adapt_dora(model: "PreTrainedModel", files: "ModelFiles", method: "Method", _cache: Path) -> Adapted:
    """The same with each weight decomposed into magnitude and direction (DoRA, arXiv:2402.09353)."""
    settings = method.dora or DoRA()
    config = low_rank_config(model, settings, "dora")
    config.use_dora = True
    return with_loraplus(adapted_by(config, model, files), settings)


def with_loraplus(adapted: Adapted, settings: LoRA) -> Adapted:
    """The adapted model with the learning rate of its matrices B multiplied (LoRA+, arXiv:2402.12354)."""
    return replace(adapted, lr_factor=partial(_lr_factor, settings.loraplus_lr_ratio))


def _lr_factor(ratio: float, name: str) -> float:
    return ratio if any(f".{part}." in name for part in _MATRICES_B) else 1.0


def low_rank_config(model: "PreTrainedModel", settings: LoRA, block: str) -> "LoraConfig":
    """`LoraConfig` for the settings of a job in `block` of the method.

    Raises `ModelUnsuitable` when `targetModules` name nothing in this model.
    """
    from peft import LoraConfig

    return LoraConfig(
        task_type=task_type(model),
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=ADAPTER_DROPOUT if settings.dropout is None else settings.dropout,
        use_rslora=settings.rank_stabilized,
        target_modules=chosen_modules(model, settings.target_modules, f"spec.method.{block}.targetModules"),
        modules_to_save=head_modules(model),
        fan_in_fan_out=stores_weights_transposed(model),
    )
