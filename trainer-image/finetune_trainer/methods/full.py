"""`Full`: trains all weights or those of the top layers, optionally with layer-wise learning-rate decay."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from finetune_api.failures import ModelUnsuitable
from finetune_api.method import Full
from finetune_trainer.methods.adapted import Adapted, count_parameters, token_rows
from finetune_trainer.models.layers import height, stacks

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from finetune_api.method import Method
    from finetune_trainer.models.files import ModelFiles


def adapt(model: "PreTrainedModel", _files: "ModelFiles", method: "Method", _cache: Path) -> Adapted:
    """Make the weights of the top layers and everything above them trainable.

    Raises `ModelUnsuitable` for more layers than the model has.
    """
    settings = method.full or Full()
    heights = {name: height(model, name) for name, _ in model.named_parameters()}
    if settings.trainable_layers:
        _check_layers(model, settings.trainable_layers)
        for name, weight in model.named_parameters():
            weight.requires_grad_(heights[name] <= settings.trainable_layers)
    return Adapted(
        model=model,
        rows=token_rows(model.config),
        total_parameters=count_parameters(model),
        save=model.save_pretrained,
        lr_factor=partial(_factor, settings.layerwise_lr_decay, heights),
    )


def _factor(decay: float, heights: dict[str, int], name: str) -> float:
    return decay ** heights[name]


def _check_layers(model: "PreTrainedModel", wanted: int) -> None:
    most = max(stacks(model).values(), default=0)
    if wanted > most:
        message = f"{wanted} layers are more than the {most} of this model"
        hint = f"use at most {most}, or 0 to train everything"
        raise ModelUnsuitable(message, where="spec.method.full.trainableLayers", hint=hint)
