"""`LoRA` and `DoRA`: low-rank adapters beside frozen weights, by PEFT (arXiv:2106.09685)."""

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


def adapt(model: "PreTrainedModel", files: "ModelFiles", method: "Method", _cache: Path) -> Adapted:
    """Freeze the base, add LoRA adapters to its linear modules, and train the head in full.

    Raises `ModelUnsuitable` when `targetModules` name nothing in this model.
    """
    return adapted_by(low_rank_config(model, method.lora or LoRA(), "lora"), model, files)


def adapt_dora(model: "PreTrainedModel", files: "ModelFiles", method: "Method", _cache: Path) -> Adapted:
    """The same with each weight decomposed into magnitude and direction (DoRA, arXiv:2402.09353)."""
    config = low_rank_config(model, method.dora or DoRA(), "dora")
    config.use_dora = True
    return adapted_by(config, model, files)


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
