"""`Full`: all weights are trained."""

from pathlib import Path
from typing import TYPE_CHECKING

from finetune_trainer.methods.adapted import Adapted, count_parameters, token_rows

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from finetune_api.method import Method
    from finetune_trainer.models.files import ModelFiles


def adapt(model: "PreTrainedModel", _files: "ModelFiles", _method: "Method", _cache: Path) -> Adapted:
    """Leave the model as it is, every weight trainable."""
    return Adapted(
        model=model,
        rows=token_rows(model.config.pad_token_id),
        total_parameters=count_parameters(model),
        save=model.save_pretrained,
    )
