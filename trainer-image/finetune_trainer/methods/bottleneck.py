"""`BottleneckAdapter`: small networks inside frozen layers (Houlsby et al. 2019, arXiv:1902.00751)."""

from pathlib import Path
from typing import TYPE_CHECKING

from finetune_api.method import AdapterStyle, BottleneckAdapter
from finetune_trainer.methods.adapted import Adapted
from finetune_trainer.methods.peft_adapter import adapted_by, task_type
from finetune_trainer.models.layers import attention_outputs, feed_forward_outputs
from finetune_trainer.models.module_names import head_modules

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from finetune_api.method import Method
    from finetune_trainer.models.files import ModelFiles

_WHERE = "spec.method.type"


def adapt(model: "PreTrainedModel", files: "ModelFiles", method: "Method", _cache: Path) -> Adapted:
    """Freeze the base, insert adapters after its feed-forward networks (and attentions), train the head in full.

    Raises `ModelUnsuitable` for architectures whose parts are not known by name.
    """
    from finetune_trainer.models.bottleneck import BottleneckConfig, register_bottleneck

    settings = method.bottleneck_adapter or BottleneckAdapter()
    register_bottleneck()
    targets = feed_forward_outputs(model, _WHERE)
    if settings.style is AdapterStyle.HOULSBY:
        targets = sorted({*targets, *attention_outputs(model, _WHERE)})
    config = BottleneckConfig(
        task_type=task_type(model),
        target_modules=targets,
        width=max(1, model.config.get_text_config().hidden_size // settings.reduction_factor),
        modules_to_save=head_modules(model),
    )
    return adapted_by(config, model, files, merges=False)
