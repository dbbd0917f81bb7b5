"""Assembly of models: a whole one, or adapters over adapters over a base."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from finetune_api.failures import ModelUnsuitable
from finetune_api.inference import INFERENCE_NAME, InferenceSettings
from finetune_api.tasks import Task
from finetune_trainer.deferred_bitsandbytes import hidden_unless_quantized
from finetune_trainer.models.adapter_merge import merge_adapter
from finetune_trainer.models.adapters import MERGEABLE, VIRTUAL_TOKENS, adapter_kind, check_weights
from finetune_trainer.models.auto_classes import auto_class
from finetune_trainer.models.files import ModelFiles
from finetune_trainer.models.hidden_layer import from_pretrained, remove_hidden_layer
from finetune_trainer.models.last_token import show_last_token
from finetune_trainer.models.loading import BROKEN_HINT
from finetune_trainer.models.meta_model import on_meta_device
from finetune_trainer.models.model_loading import FP32, ModelLoading, keep_4_bits_unpacked
from finetune_trainer.models.module_names import is_in_body, output_size, renew_output_layer
from finetune_trainer.models.upcast_modules import keep_half_precision, keep_prefix_in_fp32

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_WRITERS = frozenset({Task.SEQ2SEQ, Task.CAUSAL_LM, Task.PREFERENCE, Task.POLICY_OPTIMIZATION})
"""Tasks of models that write: their heads are as large as a body can be, and nothing without pretraining."""
_CLASSIFIERS = frozenset({Task.SEQUENCE_CLASSIFICATION, Task.TOKEN_CLASSIFICATION, Task.REWARD_MODEL})
_CONTINUE_HINT = "give that job method LoRA, DoRA, IA3 or Full, whose results can be continued from"


def assemble(files: ModelFiles, task: Task, how: ModelLoading = FP32) -> Any:
    """The model in its task's class, its own adapter in FP32 beside the base's weights; adapters below are merged."""
    if files.base is None:
        return load_whole(files, task, how)
    if not how.on_meta:
        check_weights(files.folder, files.uri)
    kind = adapter_kind(files.folder, files.uri)
    if kind == "BOTTLENECK":
        from finetune_trainer.models.bottleneck import register_bottleneck

        register_bottleneck()
    base = _base_of(files, task, how)
    if kind in VIRTUAL_TOKENS:
        show_last_token(base)
    model = _with_adapter(base, files.folder, how)
    keep_prefix_in_fp32(model)
    return model


def _with_adapter(base: Any, folder: Path, how: ModelLoading) -> Any:
    """PEFT's model of a base and the adapter in a folder, on the meta device without the adapter's values."""
    from peft import PeftConfig, PeftModel, get_peft_model

    if not how.on_meta:
        with hidden_unless_quantized(base):
            return PeftModel.from_pretrained(base, folder)
    with hidden_unless_quantized(base), torch.device("meta"):
        return get_peft_model(base, PeftConfig.from_pretrained(folder))


def merged_with(base: ModelFiles, adapter: Path, task: Task, dtype: torch.dtype) -> "PreTrainedModel":
    """An unquantized base with the adapter in the folder `adapter` merged into it, merged weights in `dtype`."""
    files = ModelFiles(str(adapter), adapter, "", str(adapter), base)
    return merge_adapter(assemble(files, task, ModelLoading(own_dtype=True)), dtype)


def assemble_merged(files: ModelFiles, task: Task, how: ModelLoading = FP32) -> "PreTrainedModel":
    """The model with all its adapters merged, in FP32, as the start for another method or task.

    What was merged is quantized where `how` says so, and keeps no other format: FP32 is what the merge computed.
    Raises `ModelUnsuitable` for adapters that are no change of weights and so can't be merged.
    """
    if files.base is None:
        return load_whole(files, task, how)
    check_mergeable(files)
    own = _tuned_for(files) or task
    merged = merge_adapter(assemble(files, own, ModelLoading(on_meta=how.on_meta)))
    if auto_class(own) is not auto_class(task):
        with torch.device("meta" if how.on_meta else "cpu"):
            merged = _with_new_head(task, merged, files.uri)
    if how.quantization is not None:
        return _quantized(merged, files, task, how)
    return merged.requires_grad_(requires_grad=True)


def _quantized(model: "PreTrainedModel", files: ModelFiles, task: Task, how: ModelLoading) -> "PreTrainedModel":
    """A model that exists in memory only, saved and loaded again as `how` says."""
    with tempfile.TemporaryDirectory(prefix="finetune-") as scratch:
        (model.config if how.on_meta else model).save_pretrained(scratch)
        return load_whole(ModelFiles(files.uri, Path(scratch), ""), task, how)


def check_mergeable(files: ModelFiles) -> None:
    """Raise `ModelUnsuitable` for an adapter that is no change of weights, and so can't be merged."""
    kind = adapter_kind(files.folder, files.uri) if files.base is not None else ""
    if kind and kind not in MERGEABLE:
        message = f"{files.uri} is an adapter of the kind {kind}, which can't be merged into its base"
        raise ModelUnsuitable(message, where="spec.model.uri", hint=_CONTINUE_HINT)


def load_whole(files: ModelFiles, task: Task, how: ModelLoading = FP32, **settings: Any) -> "PreTrainedModel":
    """Load a whole model as `how` says; `settings` override its config.

    A head of another size than they say is new. Raises `ModelUnsuitable` where weights of the body are missing or of
    another shape, or those of a head that is no use unless it is pretrained.
    """
    return load_with_gaps(files, task, how, **settings)[0]


def load_with_gaps(
    files: ModelFiles, task: Task, how: ModelLoading = FP32, **settings: Any
) -> tuple["PreTrainedModel", list[str]]:
    """As `load_whole`, with the names of weights that were missing and are newly initialised."""
    said = {**how.settings(files, auto_class(task), settings.get("config")), **settings}
    said |= {"ignore_mismatched_sizes": True, "output_loading_info": True}
    if how.on_meta:
        model, loaded = on_meta_device(auto_class(task), files, **said)
    else:
        only = {"use_safetensors": True, "trust_remote_code": False}
        model, loaded = from_pretrained(auto_class(task), files.folder, **only, **said)
    keep_half_precision(model)
    keep_4_bits_unpacked(model)
    new = sorted({*loaded["missing_keys"], *(name for name, *_shapes in loaded["mismatched_keys"])})
    _check_weights([name for name in new if task in _WRITERS or is_in_body(model, name)], files.uri)
    return model, new


def _check_weights(made_up: list[str], uri: str) -> None:
    """Refuse randomly initialised weights, for which transformers only warns."""
    if made_up:
        shown = f"{', '.join(made_up[:3])}{' ...' if len(made_up) > 3 else ''}"
        message = f"{uri}: {len(made_up)} weights are missing or of another shape than config.json says: {shown}"
        raise ModelUnsuitable(message, where="spec.model.uri", hint=BROKEN_HINT)


def _tuned_for(files: ModelFiles) -> Task | None:
    """Task of the job of this project that tuned a model; None for other models."""
    try:
        return InferenceSettings.model_validate_json((files.folder / INFERENCE_NAME).read_text(encoding="utf-8")).task
    except (OSError, ValueError):
        return None


def _with_new_head(task: Task, tuned: "PreTrainedModel", uri: str) -> "PreTrainedModel":
    """A model for another task on the body of a tuned one."""
    model: PreTrainedModel = auto_class(task).from_config(tuned.config)
    remove_hidden_layer(model.config)
    body, trained = (getattr(whole, whole.base_model_prefix, None) for whole in (model, tuned))
    if body is None or trained is None:
        message = f"{uri}: the body of {type(tuned).__name__} can't be taken over into {type(model).__name__}"
        raise ModelUnsuitable(message, where="spec.model.uri", hint="give that job method Full, whose result can be")
    body.load_state_dict(trained.state_dict(), strict=False)  # one of the two may have a pooler
    return model


def _base_of(files: ModelFiles, task: Task, how: ModelLoading) -> Any:
    """The base with a head of the adapter's shape; the adapter provides the head's weights."""
    from transformers import AutoConfig

    config, base = AutoConfig.from_pretrained(files.folder, trust_remote_code=False), files.base
    if base is None:
        raise ValueError(files)
    if base.base is None:
        return load_whole(base, task, how, config=config)
    model = assemble_merged(base, task, how)
    if task in _CLASSIFIERS and output_size(model) != config.num_labels:
        renew_output_layer(model, config.num_labels)
    model.config = config
    return model
