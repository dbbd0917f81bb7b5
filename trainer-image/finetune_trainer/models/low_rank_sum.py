"""Weighted sum of several LoRA adapters as one adapter: exact, of summed rank.

Of adapters B1 A1 and B2 A2 the sum is [B1 B2] [A1; A2]: the ranks add up, and may differ. (PEFT's combination `linear`
adds the factors instead, (B1 + B2) (A1 + A2), which has products of strangers in it.)
"""

import json
import shutil
from collections.abc import Sequence
from math import sqrt
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from finetune_api.merge import Combination, Merge
from finetune_trainer.models.adapters import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from finetune_trainer.models.combining import weighted_mean
from finetune_trainer.models.sources import Source

_A, _B = ".lora_A.weight", ".lora_B.weight"
_CONFIG = "config.json"


def can_be_summed(sources: Sequence[Source], merge: Merge) -> bool:
    """Whether the merge is a sum of plain LoRA adapters on the same modules."""
    if merge.combination is not Combination.LINEAR or any(source.files.base is None for source in sources):
        return False
    first = _names(sources[0].files.folder)
    return bool(first) and all(
        _is_plain(source.files.folder) and _names(source.files.folder) == first for source in sources
    )


def sum_adapters(sources: Sequence[Source], merge: Merge, folder: Path) -> None:
    """Write the weighted sum into `folder` as an adapter; heads trained in full become a weighted mean."""
    from safetensors.torch import load_file, save_file

    first = sources[0].files.folder
    parts = [load_file(source.files.folder / ADAPTER_WEIGHTS) for source in sources]
    settings = [_settings(source.files.folder) for source in sources]
    factors = [share * merge.scale * _scale(own) for share, own in zip(merge.shares, settings, strict=True)]
    summed = {name: _summed(name, [part[name] for part in parts], factors, merge) for name in sorted(parts[0])}
    rank = sum(int(own["r"]) for own in settings)
    changes = {"r": rank, "lora_alpha": rank, "use_rslora": False, "lora_dropout": 0.0}
    save_file(summed, folder / ADAPTER_WEIGHTS)
    (folder / ADAPTER_CONFIG).write_text(json.dumps({**settings[0], **changes}, indent=2), encoding="utf-8")
    shutil.copyfile(first / _CONFIG, folder / _CONFIG)


def _summed(name: str, weights: Sequence[Tensor], factors: Sequence[float], merge: Merge) -> Tensor:
    if name.endswith(_A):
        return torch.cat(list(weights), dim=0)
    if name.endswith(_B):
        return torch.cat([weight * factor for weight, factor in zip(weights, factors, strict=True)], dim=1)
    return weighted_mean(weights, merge.shares)


def _scale(settings: dict[str, Any]) -> float:
    """PEFT's scaling of the product of the factors."""
    rank = float(settings["r"])
    return float(settings["lora_alpha"]) / (sqrt(rank) if settings.get("use_rslora") else rank)


def _is_plain(folder: Path) -> bool:
    """Whether an adapter is two factors beside each module, all of one rank."""
    settings = _settings(folder)
    others = ("use_dora", "rank_pattern", "alpha_pattern", "layer_replication", "megatron_config", "eva_config")
    return settings.get("peft_type") == "LORA" and not any(settings.get(name) for name in others)


def _names(folder: Path) -> set[str]:
    """Names of its weights; empty where embeddings are among the modules, whose factors are transposed."""
    from safetensors import safe_open

    with safe_open(folder / ADAPTER_WEIGHTS, "pt") as opened:
        names = set(opened.keys())
    embeddings = any("lora_embedding" in name for name in names)
    return set() if embeddings else names


def _settings(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    return found
