"""Whether a model can be trained on packed rows: it is tried on the model itself, with a few tokens.

No list of architectures: state space layers, convolutions, position biases and attention of a model's own show in what
comes out, and so does a window that attention is not told of.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from finetune_trainer.models.attention import can_set_attention, current_attention
from finetune_trainer.training.speedups.packed_attention import packed_attention, packed_mask, packed_settings

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_PROBE = "packed_probe"
_LENGTHS = (9, 5, 5, 3)
_SAME = {torch.float32: 1e-4, torch.float64: 1e-4}
"""Largest difference as a share of the largest logit, by the format of the logits; else `_SAME_IN_HALF`."""
_SAME_IN_HALF, _UNMOVED = 5e-2, 1e-6
_KNOWN_LAYERS = {"full_attention", "sliding_attention"}
_REFUSALS = (TypeError, ValueError, RuntimeError, NotImplementedError, LookupError, AttributeError)


def why_not_by_class(model: "PreTrainedModel") -> str:
    """Why a model's architecture rules out packed rows, without trying it; empty where that has to be tried."""
    kind = type(model).__name__
    odd = set(getattr(model.config.get_text_config(), "layer_types", None) or ()) - _KNOWN_LAYERS
    if odd:
        return f"{kind} has layers of the kind {min(odd)}"
    if not current_attention(model).startswith("flash_attention") and not can_set_attention(model):
        return f"{kind} has an attention of its own, which sees all rows of a sequence"
    return ""


def why_not_packed(model: "PreTrainedModel") -> str:
    """Why `model` can't be trained on packed rows; empty where it can.

    It has to give the logits of rows by themselves when they are packed, and none that depend on another row.
    """
    kind, flash = type(model).__name__, current_attention(model).startswith("flash_attention")
    why = why_not_by_class(model)
    if why:
        return why
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            return _tried(model, flash=flash)
    except _REFUSALS as error:
        return f"{kind} takes no packed rows: {' '.join(str(error).split())[:200]}"
    finally:
        model.train(was_training)


def _tried(model: "PreTrainedModel", *, flash: bool) -> str:
    kind, device = type(model).__name__, model.get_input_embeddings().weight.device
    size = model.config.get_text_config().vocab_size
    draw = torch.Generator().manual_seed(0)
    rows, others = ([torch.randint(size, (length,), generator=draw).to(device) for length in _LENGTHS] for _ in "ab")
    alone = torch.cat([model(input_ids=row[None], use_cache=False).logits[0] for row in rows])
    windows: list[int | None] = []
    with _recorded(model, windows, flash=flash):
        packed = _packed(model, rows)
        beside = _packed(model, [others[0], *rows[1:]])[_LENGTHS[0] :]
    largest = float(alone.abs().max())
    if float((packed - alone).abs().max()) > _SAME.get(alone.dtype, _SAME_IN_HALF) * largest:
        return f"{kind} gives other logits for packed rows than for these rows by themselves"
    if float((packed[_LENGTHS[0] :] - beside).abs().max()) > _UNMOVED * largest:
        return f"logits of a packed row depend on another row in {kind}"
    return "" if flash or windows[: len(windows) // 2] == _windows(model, len(windows) // 2) else _unsaid(kind)


def _packed(model: Any, rows: Sequence[Tensor]) -> Tensor:
    """Logits of packed rows, [tokens, vocabulary]."""
    positions = torch.cat([torch.arange(len(row), device=row.device) for row in rows])
    settings = packed_settings([len(row) for row in rows], rows[0].device)
    logits: Tensor = model(input_ids=torch.cat(list(rows))[None], position_ids=positions[None], **settings).logits
    return logits[0].float()


def _windows(model: "PreTrainedModel", layers: int) -> list[int | None]:
    """Sliding window of each layer by the config."""
    config = model.config.get_text_config()
    window = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    kinds = getattr(config, "layer_types", None) or ["sliding_attention"] * layers
    return [window if kind == "sliding_attention" else None for kind in kinds]


def _unsaid(kind: str) -> str:
    return f"{kind} calls attention without its sliding windows"


@contextmanager
def _recorded(model: "PreTrainedModel", windows: list[int | None], *, flash: bool) -> Iterator[None]:
    """Inside the block, attention goes within packed rows and notes each layer's sliding window in `windows`."""
    from transformers import AttentionInterface, AttentionMaskInterface

    def note(*given: Any, **settings: Any) -> tuple[Tensor, None]:
        windows.append(settings.get("sliding_window"))
        return packed_attention(*given, **settings)

    before = current_attention(model)
    if flash:
        yield
        return
    AttentionInterface.register(_PROBE, note)
    AttentionMaskInterface.register(_PROBE, packed_mask)
    model.set_attn_implementation(_PROBE)
    try:
        yield
    finally:
        model.set_attn_implementation(before)
