"""PEFT adapters: application to a base, saving, and merging into the base."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from finetune_api.failures import ModelUnsuitable
from finetune_trainer.deferred_bitsandbytes import hidden_unless_quantized
from finetune_trainer.methods.adapted import Adapted, count_parameters, token_rows
from finetune_trainer.models.adapter_merge import merge_adapter, save_whole
from finetune_trainer.models.upcast_modules import keep_prefix_in_fp32

if TYPE_CHECKING:
    from peft import PeftConfig, PeftModel
    from transformers import PreTrainedModel

    from finetune_trainer.models.files import ModelFiles

_HEAD = "modules_to_save"  # PEFT's name in the path of what is trained in full
_KINDS = (
    ("ForSequenceClassification", "SEQ_CLS"),
    ("ForTokenClassification", "TOKEN_CLS"),
    ("ForConditionalGeneration", "SEQ_2_SEQ_LM"),
    ("ForCausalLM", "CAUSAL_LM"),
    ("LMHeadModel", "CAUSAL_LM"),
)


def task_type(model: "PreTrainedModel") -> str | None:
    """PEFT's `TaskType` of a model class; None without one."""
    seq2seq = "SEQ_2_SEQ_LM" if model.config.is_encoder_decoder else None
    return next((kind for end, kind in _KINDS if type(model).__name__.endswith(end)), seq2seq)


def adapted_by(
    config: "PeftConfig", model: "PreTrainedModel", files: "ModelFiles", *, merges: bool = True, head_rate: float = 1
) -> Adapted:
    """Freeze the model and apply the adapter of `config`, which names its base as `files` do.

    With `merges` the adapter is a change of weights. The head learns at the share `head_rate` of the learning rate:
    scales and virtual tokens want steps that are too long for it.

    Raises `ModelUnsuitable` for a model with running statistics.
    """
    from peft import get_peft_model

    _check_no_statistics(model, files.uri)
    with hidden_unless_quantized(model):
        adapted = get_peft_model(model, config)
    keep_prefix_in_fp32(adapted)
    settings = adapted.peft_config["default"]
    settings.base_model_name_or_path, settings.revision = files.name, files.revision or None
    return Adapted(
        model=adapted,
        rows=token_rows(model.config),
        total_parameters=count_parameters(adapted),
        save=partial(save_adapter, adapted),
        merge=partial(merge_and_save, adapted) if merges else None,
        as_base_model=partial(_base_model, adapted),
        lr_factor=partial(_rate_factor, head_rate),
    )


def _check_no_statistics(model: "PreTrainedModel", uri: str) -> None:
    """Refuse layers such as BatchNorm: training changes their statistics, which adapters do not save."""
    for name, module in model.named_modules():
        if getattr(module, "running_mean", None) is not None:
            message = f"{uri} keeps running statistics in {name}, which training changes and no adapter carries"
            raise ModelUnsuitable(
                message, where="spec.method.type", hint="use method Full, which writes the whole model"
            )


def _rate_factor(head_rate: float, name: str) -> float:
    return head_rate if f".{_HEAD}." in name else 1.0


def save_adapter(model: "PeftModel", folder: Path) -> None:
    """Write adapter weights and config; the model is unchanged."""
    model.save_pretrained(folder, save_embedding_layers=False)  # else PEFT asks the hub whether they changed
    (folder / "README.md").unlink(missing_ok=True)  # PEFT's empty model card; ours is one level up
    config = deepcopy(model.get_base_model().config)  # the label names, which an adapter alone lacks
    vars(config).pop("quantization_config", None)  # the base as it is stored is not quantized
    config.save_pretrained(folder)


def merge_and_save(model: "PeftModel", folder: Path, dtype: torch.dtype) -> None:
    """Write base and adapter as one model, merged weights in `dtype`. Consumes `model`."""
    save_whole(merge_adapter(model, dtype), folder)


@contextmanager
def _base_model(model: "PeftModel") -> Iterator[None]:
    """The base model; before training, most adapters change nothing, but virtual tokens do."""
    if not model.active_peft_config.is_prompt_learning:
        yield
        return
    base = model.get_base_model()
    shortcuts = {"forward": base.__call__}  # PEFT's disable_adapter() wants a model that writes texts
    if hasattr(base, "generate"):
        shortcuts["generate"] = base.generate
    for name, method in shortcuts.items():
        setattr(model, name, method)
    try:
        yield
    finally:
        for name in shortcuts:
            delattr(model, name)
