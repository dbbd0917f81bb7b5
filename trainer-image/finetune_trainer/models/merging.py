"""Makes one model of an adapter and its base."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel


def merge_adapter(model: "PeftModel") -> "PreTrainedModel":
    """The base with the adapter merged into its weights, and the trained head. Takes `model` apart."""
    from peft.utils import ModulesToSaveWrapper

    base = model.get_base_model()
    for name, module in list(base.named_modules()):
        if isinstance(module, ModulesToSaveWrapper):  # PEFT itself trips over a head of several modules, save for LoRA
            trained: Any = module.modules_to_save[module.active_adapter]
            base.set_submodule(name, trained)
    merged: PreTrainedModel = model.merge_and_unload(safe_merge=True)
    return merged
