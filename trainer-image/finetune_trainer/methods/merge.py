"""`Merge`: a frozen model; nothing is trained."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from finetune_trainer.deferred_bitsandbytes import hidden_unless_quantized
from finetune_trainer.methods.adapted import Adapted, count_parameters, token_rows
from finetune_trainer.methods.peft_adapter import merge_and_save, save_adapter

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from finetune_api.method import Method
    from finetune_trainer.models.files import ModelFiles


def adapt(model: "PreTrainedModel", _files: "ModelFiles", _method: "Method", _cache: Path) -> Adapted:
    """Freeze the base."""
    return as_it_is(model)


def as_it_is(model: "PreTrainedModel") -> Adapted:
    """A frozen whole model."""
    model.requires_grad_(requires_grad=False)
    return Adapted(model, token_rows(model.config), count_parameters(model), save=model.save_pretrained)


def adapt_sum(base: "PreTrainedModel", files: "ModelFiles", adapter: Path) -> Adapted:
    """Load the adapter in the folder `adapter` over the base of `files`, whose name it gets, and freeze both."""
    from peft import PeftModel

    with hidden_unless_quantized(base):
        model = PeftModel.from_pretrained(base, adapter).requires_grad_(requires_grad=False)
    settings = model.peft_config["default"]
    settings.base_model_name_or_path, settings.revision = files.name, files.revision or None
    return Adapted(
        model,
        token_rows(base.config),
        count_parameters(model),
        save=partial(save_adapter, model),
        merge=partial(merge_and_save, model),
    )
