"""Attention over packed rows: causal within each row of one long sequence, nothing across rows.

Registered with transformers as an attention implementation of its own, so that models call it in every layer. It hands
each run of rows of equal length to PyTorch's kernel for causal attention, which computes no more than the rows need:
a block-diagonal mask would cost the square of the whole sequence, and PyTorch's fast kernels take no mask.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate, groupby
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from finetune_trainer.models.attention import current_attention

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PACKED_SDPA = "packed_sdpa"
"""Name of the attention implementation in transformers."""
ROW_LENGTHS = "packed_row_lengths"
"""Keyword argument of the forward pass with the lengths of the packed rows, in their order, on the host."""


def register() -> None:
    """Make `PACKED_SDPA` known to transformers."""
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(PACKED_SDPA, packed_attention)
    AttentionMaskInterface.register(PACKED_SDPA, packed_mask)


def packed_settings(lengths: Sequence[int], device: torch.device) -> dict[str, Any]:
    """Keyword arguments of a forward pass over packed rows: where each ends, for `PACKED_SDPA` and FlashAttention.

    Without a cache: with one, transformers takes all of them for one row.
    """
    ends = torch.tensor([0, *accumulate(lengths)], dtype=torch.int32, device=device)
    longest = max(lengths)
    return {
        "use_cache": False,
        ROW_LENGTHS: tuple(lengths),
        "cu_seq_lens_q": ends,
        "cu_seq_lens_k": ends,
        "max_length_q": longest,
        "max_length_k": longest,
    }


@contextmanager
def packing_attention(model: "PreTrainedModel") -> Iterator[None]:
    """Inside the block, `model` computes attention within packed rows; FlashAttention does so by itself."""
    before = current_attention(model)
    if before.startswith("flash_attention"):
        yield
        return
    register()
    model.set_attn_implementation(PACKED_SDPA)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def packed_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **settings: Any
) -> tuple[Tensor, None]:
    """Attention of one layer; query, key and value are [1, heads, tokens, width] of packed rows.

    Without row lengths it is transformers' SDPA attention. Returns [1, tokens, heads, width].
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    lengths = settings.pop(ROW_LENGTHS, None)
    window = settings.get("sliding_window")
    if lengths is None and (attention_mask is not None or not window or query.shape[2] != key.shape[2]):
        plain: tuple[Tensor, None] = sdpa_attention_forward(module, query, key, value, attention_mask, **settings)
        return plain
    parts = [
        sdpa_attention_forward(
            module, *(_rows(part, start, rows, length) for part in (query, key, value)),
            _windowed(length, window, query.device), **settings,
        )[0].reshape(1, rows * length, query.shape[1], -1)
        for start, rows, length in _runs(lengths or (query.shape[2],))
    ]  # fmt: skip
    return torch.cat(parts, dim=1), None


def _runs(lengths: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Start, number of rows and their length, of each run of rows of equal length."""
    start = 0
    for length, run in groupby(lengths):
        rows = len(list(run))
        yield start, rows, length
        start += rows * length


def _rows(packed: Tensor, start: int, rows: int, length: int) -> Tensor:
    """Rows of equal length as a batch, [rows, heads, length, width], of [1, heads, tokens, width]."""
    part = packed[0, :, start : start + rows * length]
    return part.view(len(part), rows, length, -1).transpose(0, 1)


def _windowed(length: int, window: int | None, device: torch.device) -> Tensor | None:
    """Causal mask of a sliding window, [1, 1, length, length]; None where the window holds the whole row."""
    if not window or length <= window:
        return None
    places = torch.arange(length, device=device)
    ago = places[:, None] - places
    return ((ago >= 0) & (ago < window))[None, None]


def packed_mask(attention_mask: Tensor | None = None, **shape: Any) -> Tensor | None:
    """Mask of a forward pass: none for packed rows, which come without one; else transformers' for SDPA."""
    from transformers.masking_utils import sdpa_mask

    if attention_mask is None and shape["batch_size"] == 1 and shape["q_length"] == shape["kv_length"]:
        return None
    mask: Tensor | None = sdpa_mask(attention_mask=attention_mask, **shape)
    return mask
