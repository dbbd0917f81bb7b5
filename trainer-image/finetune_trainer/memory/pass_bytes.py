"""Bytes of a pass by part, from the sizes of a model: upper bounds, by counting what a common transformer keeps.

For each token and layer a training pass keeps the inputs of two norms, of queries, keys and values, of the projection
of attention, two residuals, and their outputs (12 x hidden), and of the MLP two products, the activation and its input
(4 x inner). With activation checkpointing it keeps the input of each layer, and all of these for one layer. Attention
weights are kept where the kernel has them in memory. An evaluation keeps one layer's at a time.
"""

from finetune_trainer.memory.model_shape import ModelShape

GRADIENT, OPTIMIZER, SNAPSHOT = 4, 8, 12
"""Bytes of a trained weight in FP32: its gradient, two moments of Adam, and a copy of weight and moments."""
_FP32, _MIXED = 4, 3
"""Bytes of a kept value; in mixed precision matrix products keep halves, norms and residuals FP32."""


def training_token_bytes(shape: ModelShape, length: int, *, mixed: bool) -> int:
    """Bytes that a training pass keeps for each token of texts of so many tokens, without logits."""
    of_layer = _layer_values(shape, length if shape.attention_matrix else 0)
    values = shape.layers * shape.hidden + of_layer if shape.checkpointed else shape.layers * of_layer
    return values * (_MIXED if mixed else _FP32)


def inference_token_bytes(shape: ModelShape, length: int) -> int:
    """Bytes for each token of an evaluation pass over texts of so many tokens, without logits."""
    return _FP32 * _layer_values(shape, length if shape.attention_matrix else 0)


def cache_token_bytes(shape: ModelShape, value_bytes: int) -> int:
    """Bytes of the key-value cache for each token of a text."""
    return shape.cached * value_bytes


def trained_weight_bytes(weights: int, *, on_cpu: bool) -> int:
    """Bytes that come beside so many trained weights: gradients, optimizer, and on the CPU the copy of a snapshot."""
    return weights * (GRADIENT + OPTIMIZER + (SNAPSHOT if on_cpu else 0))


def _layer_values(shape: ModelShape, length: int) -> int:
    return 12 * shape.hidden + 4 * shape.inner + 2 * shape.heads * length
