"""`ModelShape`: the sizes of a model that the memory of a pass depends on, of all architectures."""

from dataclasses import dataclass
from typing import Any

from torch import nn

_INNER = ("intermediate_size", "ffn_dim", "encoder_ffn_dim", "d_ff", "n_inner", "hidden_dim")
_ATTENTION_DROPOUT = ("attention_dropout", "attention_probs_dropout_prob", "attn_pdrop", "dropout_rate")


@dataclass(frozen=True)
class ModelShape:
    """Sizes of a transformer, encoder and decoder together."""

    hidden: int
    inner: int
    """Width of the MLP."""
    layers: int
    heads: int
    vocabulary: int
    cached: int
    """Values of keys and values that a generated text keeps for each token, of all layers."""
    attention_matrix: bool
    """Whether a backward pass keeps the attention weights of each pair of tokens (eager, or with dropout)."""
    checkpointed: bool = False
    """Whether layers are computed again in the backward pass (activation checkpointing)."""


def shape_of(model: nn.Module) -> ModelShape | None:
    """Sizes by the model's config; None where it has no config of a transformer."""
    config: Any = getattr(model, "config", None)
    if config is None or not hasattr(config, "get_text_config"):
        return None
    config = config.get_text_config(decoder=True)
    hidden, layers = getattr(config, "hidden_size", None), getattr(config, "num_hidden_layers", None)
    if not isinstance(hidden, int) or not isinstance(layers, int):
        return None
    heads = getattr(config, "num_attention_heads", None) or 1
    head = getattr(config, "head_dim", None) or -(-hidden // heads)
    pairs = getattr(config, "num_key_value_heads", None) or heads
    eager = getattr(config, "_attn_implementation", None) == "eager"
    return ModelShape(
        hidden=hidden,
        inner=next((size for name in _INNER if (size := getattr(config, name, None))), 4 * hidden),
        layers=layers * (2 if getattr(config, "is_encoder_decoder", False) else 1),
        heads=heads,
        vocabulary=getattr(config, "vocab_size", None) or 0,
        cached=2 * layers * pairs * head,
        attention_matrix=eager or any(getattr(config, name, None) for name in _ATTENTION_DROPOUT),
        checkpointed=bool(getattr(model, "is_activation_checkpointing", False)),
    )
