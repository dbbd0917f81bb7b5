"""Dtypes of weights: as stored, and as exported."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from finetune_trainer.models.adapters import ADAPTER_CONFIG
from finetune_trainer.models.layout import WEIGHTS

if TYPE_CHECKING:
    from finetune_trainer.models.files import ModelFiles

_INDEX = "model.safetensors.index.json"
_STORED = {"F64": torch.float32, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
"""Formats of safetensors that weights are exported in; FP64 is not one of them."""


def stored_dtypes(files: "ModelFiles") -> dict[str, torch.dtype]:
    """Dtype of each floating tensor of a whole model, or of the one below an adapter; reads headers only."""
    if files.base is not None:
        return stored_dtypes(files.base)
    return {name: dtype for name, (dtype, _size) in _headers(files.folder).items()}


def main_dtype(files: "ModelFiles") -> torch.dtype:
    """Most frequent dtype of a model's weights, or of the one below an adapter.

    Where the weights are not on this machine, what the config says of them; FP32 where it says nothing.
    """
    if files.base is not None:
        return main_dtype(files.base)
    sizes = Counter[torch.dtype]()
    for dtype, size in _headers(files.folder).values():
        sizes[dtype] += size
    return sizes.most_common(1)[0][0] if sizes else _declared_dtype(files.folder)


def _declared_dtype(folder: Path) -> torch.dtype:
    """The dtype in a model's config, which older ones call `torch_dtype`."""
    file = folder / "config.json"
    config = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    name = str(config.get("dtype") or config.get("torch_dtype"))
    return {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(name, torch.float32)


def _headers(folder: Path) -> dict[str, tuple[torch.dtype, int]]:
    """Dtype and number of values of each floating tensor by name."""
    from safetensors import safe_open

    found = {}
    for file in sorted(folder.glob(WEIGHTS)):
        with safe_open(file, "pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 -- not a dictionary
                part = tensors.get_slice(name)
                if part.get_dtype() in _STORED:
                    found[name] = (_STORED[part.get_dtype()], torch.Size(part.get_shape()).numel())
    return found


def export_dtype(tensor: Tensor, dtype: torch.dtype) -> torch.dtype:
    """Export dtype of a tensor: `dtype`, or FP32 where it holds values beyond its range; else its own."""
    if not tensor.is_floating_point():
        return tensor.dtype
    fits = not tensor.numel() or bool(tensor.abs().max() <= torch.finfo(dtype).max)
    return dtype if fits else torch.float32


@torch.no_grad()
def round_weights(weights: Iterable[Tensor], dtype: torch.dtype) -> None:
    """Round weights to the values that they have once stored in `dtype`; their own dtype stays."""
    for weight in weights:
        weight.copy_(weight.to(export_dtype(weight, dtype)))


def convert_weights(folder: Path, dtype: torch.dtype, own: Mapping[str, torch.dtype] | None = None) -> None:
    """Convert the floating tensors of all weight files in `folder` to `dtype`, and set it in the config.

    `own` gives tensors that have a format of their own, by name.
    """
    saved = sum(_convert(file, dtype, own or {}) for file in sorted(folder.glob(WEIGHTS)))
    index, config = folder / _INDEX, folder / "config.json"
    if index.is_file():
        values = json.loads(index.read_text())
        values["metadata"]["total_size"] -= saved
        _write(index, values)
    if config.is_file() and not (folder / ADAPTER_CONFIG).is_file():  # an adapter's folder has the config of its base
        _write(config, json.loads(config.read_text()) | {"dtype": str(dtype).removeprefix("torch.")})


def _convert(file: Path, dtype: torch.dtype, own: Mapping[str, torch.dtype]) -> int:
    """Convert one file; returns the bytes saved."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    with safe_open(file, "pt") as stored:
        before = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 -- not a dictionary
        metadata = stored.metadata()
    after = {name: one.to(export_dtype(one, own.get(name, dtype))) for name, one in before.items()}
    if all(one.dtype == after[name].dtype for name, one in before.items()):
        return 0
    part = file.with_name(f"{file.name}.part")
    save_file(after, part, metadata)
    part.replace(file)
    saved: int = sum(one.nbytes - after[name].nbytes for name, one in before.items())
    return saved


def _write(file: Path, values: dict[str, Any]) -> None:
    file.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n")
