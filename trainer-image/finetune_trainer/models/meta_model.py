"""Whole models on the meta device: all modules, weights with name and shape but no values.

What is missing or of another shape is found by transformers itself, from tensors that are as empty as the model's.
"""

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from finetune_trainer.models.adapters import ADAPTER_WEIGHTS
from finetune_trainer.models.hidden_layer import with_own_head
from finetune_trainer.models.layout import WEIGHTS

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from finetune_trainer.models.files import ModelFiles

_ONE_FILE, _INDEX = "model.safetensors", "model.safetensors.index.json"
_META = torch.device("meta")
_SCALE, _LARGE = 0.02, 1 << 20


def on_meta_device(auto: Any, files: "ModelFiles", **settings: Any) -> "tuple[PreTrainedModel, dict[str, Any]]":
    """Result of a class's `from_pretrained` with its loading information, weights on the meta device.

    `settings` are its keyword arguments. Where the weights are not on this machine, none are said to be missing. Linear
    modules are those of bitsandbytes where `quantization_config` is among the settings. Raises as transformers does.
    """
    from transformers import AutoConfig

    folder = files.folder
    quantization, config = settings.pop("quantization_config", None), settings.pop("config", None)
    labels = {name: settings.pop(name) for name in list(settings) if name in _LABELS}
    if config is None:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, **labels)
    with _META:
        empty = auto.from_config(config, trust_remote_code=False)
    stored = _stored(folder) if has_weights(files) or (files.is_here and any(folder.glob(WEIGHTS))) else None
    kind = with_own_head(auto, type(empty), empty.config)
    model, loaded = kind.from_pretrained(
        None,
        config=empty.config,
        state_dict=dict(empty.state_dict()) if stored is None else stored,
        device_map={"": _META},
        **settings,
    )
    if model.can_generate():
        _read_generation_config(model, folder)
    if quantization is not None:
        _quantize(model, quantization)
    return model, loaded if stored is not None else {"missing_keys": set(), "mismatched_keys": set()}


_LABELS = ("num_labels", "id2label", "label2id", "problem_type")
"""Settings that go into the config."""


def is_on_meta(model: nn.Module) -> bool:
    """Whether weights of a model are on the meta device."""
    return any(weight.device == _META for weight in model.parameters())


def has_weights(files: "ModelFiles") -> bool:
    """Whether all weights are on local disk, those of a base included."""
    names = _files(files.folder) if files.base is None else [ADAPTER_WEIGHTS]
    here = all((files.folder / name).is_file() for name in names)
    return here and (files.base is None or has_weights(files.base))


def _stored(folder: Path) -> dict[str, Tensor]:
    """Weights of a model on the meta device by name, as transformers selects them.

    Raises `OSError` where some are not there.
    """
    from safetensors import safe_open

    stored = {}
    for name in _files(folder):
        with safe_open(folder / name, "pt") as tensors:
            for key in tensors.keys():  # noqa: SIM118 -- not a dictionary
                part = tensors.get_slice(key)
                stored[key] = torch.empty(part.get_shape(), dtype=_dtype(part.get_dtype()), device=_META)
    return stored


def _files(folder: Path) -> list[str]:
    if (folder / _ONE_FILE).is_file() or not (folder / _INDEX).is_file():
        return [_ONE_FILE]
    return sorted(set(json.loads((folder / _INDEX).read_text(encoding="utf-8"))["weight_map"].values()))


def _dtype(name: str) -> torch.dtype:
    from safetensors.torch import _TYPES  # no public name: what `load_file` goes by

    return _TYPES.get(name) or torch.float32


def _read_generation_config(model: Any, folder: Path) -> None:
    """Set the generation config that `from_pretrained` reads from a folder."""
    of_the_hub = dict.fromkeys(("cache_dir", "proxies", "token", "revision", "from_pipeline", "generation_config"))
    model.adjust_generation_fn(
        pretrained_model_name_or_path=folder,
        from_auto_class=True,
        force_download=False,
        local_files_only=True,
        subfolder="",
        trust_remote_code=False,
        **of_the_hub,
    )


def _quantize(model: Any, settings: Any) -> None:
    from transformers.integrations.bitsandbytes import replace_with_bnb_linear

    replace_with_bnb_linear(model, settings.llm_int8_skip_modules, settings)
    model.is_loaded_in_4bit = True


def give_values(model: "PreTrainedModel", wanted: Callable[[str], bool] = lambda _name: True) -> None:
    """Fill weights of the `wanted` modules with arbitrary values, for methods that probe a model.

    A large matrix is a view of as many values as it has rows and columns: entry (i, j) is value i + j. Experts that are
    one weight are all the same matrix, in each layer: kernels for groups want the rows of a matrix one after the other.
    """
    from accelerate import init_empty_weights

    with init_empty_weights(include_buffers=False):
        twin = type(model)(deepcopy(model.config))
    buffers, made, experts = dict(twin.named_buffers()), dict[int, nn.Parameter](), dict[Any, Tensor]()
    for name, module in model.named_modules():
        if not wanted(name):
            continue
        for own, weight in list(module.named_parameters(recurse=False, remove_duplicate=False)):
            if weight.device == _META:
                made.setdefault(id(weight), nn.Parameter(_values(weight, experts), requires_grad=weight.requires_grad))
                setattr(module, own, made[id(weight)])
        for own, buffer in list(module.named_buffers(recurse=False)):
            full = f"{name}.{own}" if name else own
            if buffer.device == _META and full in buffers:
                setattr(module, own, buffers[full])


def _values(weight: Tensor, experts: dict[Any, Tensor]) -> Tensor:
    size = tuple(weight.shape)
    if weight.numel() < _LARGE or len(size) < 2:
        return _random(size, weight.dtype)
    if len(size) == 2:
        return _random((sum(size),), weight.dtype).as_strided(size, (1, 1))
    one = size[-2:], weight.dtype
    if one not in experts:
        experts[one] = _random(*one)
    return experts[one].expand(size)


def _random(size: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    return (torch.randn(size, generator=torch.Generator().manual_seed(0)) * _SCALE).to(dtype)
