"""`LoRA`: low-rank adapters beside frozen weights, by PEFT."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from finetune_api.failures import ModelUnsuitable
from finetune_api.method import LoRA
from finetune_trainer.methods.adapted import Adapted, count_parameters, token_rows
from finetune_trainer.models.anatomy import body_linears, head_modules, stores_weights_transposed

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

    from finetune_api.method import Method
    from finetune_trainer.models.files import ModelFiles


def adapt(model: "PreTrainedModel", files: "ModelFiles", method: "Method", _cache: Path) -> Adapted:
    """Freeze the base, put adapters beside its linear modules, and train the head in full.

    Raises `ModelUnsuitable` when `targetModules` name nothing in this model.
    """
    from peft import LoraConfig, TaskType, get_peft_model

    settings = method.lora or LoRA()
    pad_id = model.config.pad_token_id
    config = LoraConfig(
        task_type=TaskType.SEQ_CLS,
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        use_rslora=settings.rank_stabilized,
        target_modules=_targets(model, settings.target_modules),
        modules_to_save=head_modules(model),
        fan_in_fan_out=stores_weights_transposed(model),
    )
    adapted = get_peft_model(model, config)
    adapted.peft_config["default"].base_model_name_or_path = _base_name(files)
    adapted.peft_config["default"].revision = files.revision or None
    return Adapted(
        model=adapted,
        rows=token_rows(pad_id),
        total_parameters=count_parameters(adapted),
        save=partial(_save, adapted),
        merge=partial(_merge, adapted),
    )


def _targets(model: "PreTrainedModel", wanted: list[str]) -> list[str]:
    linears = body_linears(model)
    if not wanted:
        return linears
    unknown = [end for end in wanted if not any(name == end or name.endswith(f".{end}") for name in linears)]
    if unknown:
        ends = ", ".join(sorted({name.rpartition(".")[2] for name in linears}))
        message = f"no linear module of this model is named {', '.join(unknown)}"
        hint = f"linear modules of the base end in: {ends}; leave the list empty for all of them"
        raise ModelUnsuitable(message, where="spec.method.lora.targetModules", hint=hint)
    return wanted


def _base_name(files: "ModelFiles") -> str:
    scheme, _, rest = files.uri.partition("://")
    return rest if scheme == "hf" else str(files.folder) if scheme == "file" else files.uri


def _save(model: "PeftModel", folder: Path) -> None:
    model.save_pretrained(folder, save_embedding_layers=False)  # else PEFT asks the hub whether they changed
    (folder / "README.md").unlink(missing_ok=True)  # PEFT's empty model card; ours is one level up
    model.get_base_model().config.save_pretrained(folder)  # the label names, which an adapter alone lacks


def _merge(model: "PeftModel", folder: Path) -> None:
    merged: nn.Module = model.merge_and_unload(safe_merge=True)
    merged.save_pretrained(folder)  # type: ignore[operator]  # a PreTrainedModel again
