"""`IA3`: learned scales on keys, values and feed-forward activations, by PEFT (arXiv:2205.05638)."""

from pathlib import Path
from typing import TYPE_CHECKING

from finetune_api.method import IA3
from finetune_trainer.methods.adapted import Adapted
from finetune_trainer.methods.peft_adapter import adapted_by, task_type
from finetune_trainer.methods.targets import chosen_modules
from finetune_trainer.models.layers import feed_forward_outputs, keys_and_values
from finetune_trainer.models.module_names import head_modules, stores_weights_transposed

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from finetune_api.method import Method
    from finetune_trainer.models.files import ModelFiles

_HEAD_RATE = 0.1
_TARGETS = "spec.method.ia3.targetModules"


def adapt(model: "PreTrainedModel", files: "ModelFiles", method: "Method", _cache: Path) -> Adapted:
    """Freeze the base, scale its keys, values and feed-forward activations, and train the head in full.

    Raises `ModelUnsuitable` for modules that are not in this model, or can't be inferred.
    """
    from peft import IA3Config

    settings = method.ia3 or IA3()
    feed_forward = chosen_modules(model, settings.feedforward_modules, "spec.method.ia3.feedforwardModules")
    if not settings.feedforward_modules:
        feed_forward = feed_forward_outputs(model, _TARGETS)
    targets = chosen_modules(model, settings.target_modules, _TARGETS)
    if not settings.target_modules:
        targets = keys_and_values(model, _TARGETS)
    config = IA3Config(
        task_type=task_type(model),
        target_modules=sorted({*targets, *feed_forward}),
        feedforward_modules=feed_forward,
        modules_to_save=head_modules(model),
        fan_in_fan_out=stores_weights_transposed(model),
    )
    return adapted_by(config, model, files, head_rate=_HEAD_RATE)
