"""Loads what a run exported: a whole model, or an adapter over its base."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from pydantic import ValidationError

from finetune_api.failures import ModelNotFound, ModelUnsuitable, UnsafeModel
from finetune_api.inference import INFERENCE_NAME, InferenceSettings
from finetune_api.model import ModelSource
from finetune_trainer.models.classifier import loading
from finetune_trainer.models.files import ModelFiles, fetch_model
from finetune_trainer.storage import Site

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_ADAPTER = "adapter_config.json"
_ADAPTER_WEIGHTS = "adapter_model.safetensors"


@dataclass(frozen=True)
class TunedModel:
    """A model that can predict."""

    model: Any
    tokenizer: "PreTrainedTokenizerBase"
    settings: InferenceSettings


def load_tuned(folder: Path, uri: str, site: Site) -> TunedModel:
    """Load the `model/` folder of a run.

    Raises:
        ModelNotFound: the folder is not one, or the adapter's base is gone.
        ModelUnsuitable: its settings, weights or tokenizer are broken.
        UnsafeModel: its adapter has pickled weights only.
    """
    from transformers import AutoTokenizer

    settings = _settings(folder, uri)
    adapter = folder / _ADAPTER
    if adapter.is_file() and not (folder / _ADAPTER_WEIGHTS).is_file():
        hint = "write the adapter with save_pretrained() of PEFT, which makes that file"
        raise UnsafeModel(f"{uri} has no {_ADAPTER_WEIGHTS}; pickled weights are never read", hint=hint)
    with loading(uri, "model"):
        model = _with_adapter(folder, json.loads(adapter.read_text()), site) if adapter.is_file() else _whole(folder)
    with loading(uri, "tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return TunedModel(model.to(device).eval(), tokenizer, settings)


def _settings(folder: Path, uri: str) -> InferenceSettings:
    file = folder / INFERENCE_NAME
    if not file.is_file():
        hint = "give the output folder of a run (the one with MANIFEST.json), or its model folder"
        raise ModelNotFound(f"no tuned model at {uri}: there is no {INFERENCE_NAME}", hint=hint)
    try:
        return InferenceSettings.model_validate_json(file.read_text())
    except ValidationError as error:
        raise ModelUnsuitable(f"{file} is not what a run writes: {error.errors()[0]['msg']}") from error


def _whole(folder: Path) -> Any:
    from transformers import AutoModelForSequenceClassification

    return AutoModelForSequenceClassification.from_pretrained(
        folder, dtype=torch.float32, use_safetensors=True, trust_remote_code=False
    )


def _with_adapter(folder: Path, adapter: dict[str, Any], site: Site) -> Any:
    from peft import PeftModel
    from transformers import AutoConfig, AutoModelForSequenceClassification

    files = _base_files(adapter, site)
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    model = AutoModelForSequenceClassification.from_pretrained(
        files.folder,
        config=config,
        dtype=torch.float32,
        use_safetensors=True,
        trust_remote_code=False,
        ignore_mismatched_sizes=True,  # the adapter brings the head
    )
    return PeftModel.from_pretrained(model, folder)


def _base_files(adapter: dict[str, Any], site: Site) -> ModelFiles:
    name, revision = adapter["base_model_name_or_path"], adapter.get("revision") or ""
    scheme = "file" if name.startswith("/") else "" if "://" in name else "hf"
    uri = f"{scheme}://{name}" if scheme else name
    return fetch_model(ModelSource(uri=uri, revision=revision if scheme == "hf" else ""), site)
