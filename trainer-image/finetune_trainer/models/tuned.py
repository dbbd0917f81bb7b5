"""Loading of exported models: whole ones, or adapters over their base."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from pydantic import ValidationError

from finetune_api.failures import ModelNotFound, ModelUnsuitable
from finetune_api.inference import INFERENCE_NAME, InferenceSettings
from finetune_trainer.models.assembly import assemble
from finetune_trainer.models.files import ModelFiles
from finetune_trainer.models.loading import loading
from finetune_trainer.models.model_loading import ModelLoading

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class TunedModel:
    """A loaded fine-tuned model."""

    model: Any
    tokenizer: "PreTrainedTokenizerBase"
    settings: InferenceSettings


def load_tuned(files: ModelFiles, *, on_meta: bool = False) -> TunedModel:
    """Load the exported model of a finished run, or put it together on the meta device.

    Raises:
        ModelNotFound: the folder holds none.
        ModelUnsuitable: its settings, weights or tokenizer are broken.
        UnsafeModel: its adapter has pickled weights only.
    """
    from transformers import AutoTokenizer

    device = "meta" if on_meta else "cuda" if torch.cuda.is_available() else "cpu"
    settings = read_settings(files.folder, files.uri)
    with loading(files.uri, "model"):
        model = assemble(files, settings.task, _how(files, settings, torch.device(device)))
    with loading(files.uri, "tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(files.folder, trust_remote_code=False)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return TunedModel(model.to(device).eval(), tokenizer, settings)


def _how(files: ModelFiles, settings: InferenceSettings, device: torch.device) -> ModelLoading:
    """Loading options: weights in their stored dtype; below an adapter quantized as in training."""
    quantization = settings.quantization if files.base is not None else None
    return ModelLoading(own_dtype=True, quantization=quantization, device=device, on_meta=device.type == "meta")


def read_settings(folder: Path, uri: str) -> InferenceSettings:
    """`InferenceSettings` of an exported model. Raises as `load_tuned` does, where missing or broken."""
    file = folder / INFERENCE_NAME
    if not file.is_file():
        hint = "give the output folder of a run (the one with MANIFEST.json), or its model folder"
        raise ModelNotFound(f"no tuned model at {uri}: there is no {INFERENCE_NAME}", hint=hint)
    try:
        return InferenceSettings.model_validate_json(file.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise ModelUnsuitable(f"{file} is not what a run writes: {error.errors()[0]['msg']}") from error
