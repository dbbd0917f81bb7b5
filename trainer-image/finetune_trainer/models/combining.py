"""Merging of several models' weights, tensor by tensor to bound memory.

The trimming and dropping are PEFT's (`peft.utils.merge_utils`), here on whole weights. The election of signs is not:
PEFT divides by the number of the sources that agree, whatever their weights, so that a large weight would amplify.
"""

import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from finetune_api.merge import Combination, Merge
from finetune_trainer.models.module_names import head_modules
from finetune_trainer.observer import Advance

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def needs_base(merge: Merge) -> bool:
    """Whether the merged weights depend on the base; a plain mean does not."""
    return merge.combination is not Combination.LINEAR or merge.scale != 1


def combine(base: Tensor | None, tuned: Sequence[Tensor], merge: Merge) -> Tensor:
    """The merged weight, of the shape of each; random merges (DARE) draw from torch's default generator.

    Without `base` there is no change to speak of, as with a head that was new: the weighted mean, whatever the
    combination.
    """
    mean = weighted_mean(tuned, merge.shares)
    if base is None or not needs_base(merge):
        return mean
    if merge.combination is Combination.LINEAR:
        start = base.double()
        return (start + merge.scale * (mean.double() - start)).to(mean.dtype)
    return base + merge.scale * _change([weight - base for weight in tuned], merge)


def weighted_mean(weights: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    """Weighted mean in FP64; exact for equal weights, whatever the shares."""
    total = torch.zeros_like(weights[0], dtype=torch.float64)
    for weight, share in zip(weights, shares, strict=True):
        total.add_(weight.double(), alpha=share)
    return total.to(weights[0].dtype)


def _change(changes: list[Tensor], merge: Merge) -> Tensor:
    """Merged task vector (difference to the base), of the shape of each."""
    from peft.utils.merge_utils import prune

    drops = merge.combination is not Combination.TIES
    how = {"method": "random", "rescale": True} if drops else {"method": "magnitude"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a density of 1 is what was asked for
        kept = torch.stack([prune(change, merge.kept_share, **how) for change in changes])
    shares = torch.tensor(merge.shares, dtype=kept.dtype, device=kept.device)
    if merge.combination is Combination.DARE_LINEAR:
        mean: Tensor = torch.tensordot(shares, kept, dims=1)
        return mean
    return mean_of_elected_sign(kept, shares)


def mean_of_elected_sign(changes: Tensor, shares: Tensor) -> Tensor:
    """Weighted mean of the differences with the sign of their weighted sum (TIES, arXiv:2306.01708).

    `changes` are [sources, ...], `shares` [sources]. A change of 0 agrees with no sign; where the weighted sum is 0,
    the positive sign is elected. The result is never larger than the largest change that agrees.
    """
    weights = shares.view(-1, *[1] * (changes.ndim - 1))
    elected = torch.where((weights * changes).sum(dim=0) >= 0, 1.0, -1.0)
    agreeing = torch.where(changes.sign() == elected, weights, 0.0)
    return (agreeing * changes).sum(dim=0) / agreeing.sum(dim=0).where(agreeing.any(dim=0), 1.0)


def save_weights(model: "PreTrainedModel", file: Path) -> None:
    """Write all parameters, shared ones once, in FP32."""
    from safetensors.torch import save_file

    save_file({name: weight.detach().cpu().contiguous() for name, weight in model.named_parameters()}, file)


def combine_into(
    model: "PreTrainedModel", base: Path | None, tuned: Sequence[Path], merge: Merge, advance: Advance
) -> None:
    """Load `model` with the merge of the files that `save_weights` wrote; `advance` is called per tensor.

    `base` is needed where `needs_reference`. The sources have the same parameters as `model`.
    """
    from safetensors import safe_open

    heads = set(head_modules(model))
    with ExitStack() as opened, torch.no_grad():
        sources: list[Any] = [opened.enter_context(safe_open(file, "pt")) for file in tuned]
        start: Any = opened.enter_context(safe_open(base, "pt")) if base is not None else None
        for name, weight in sorted(model.named_parameters()):
            is_new = bool(heads & set(name.split(".")))
            before = start.get_tensor(name) if start is not None and not is_new else None
            weight.copy_(combine(before, [source.get_tensor(name) for source in sources], merge))
            advance(1)
