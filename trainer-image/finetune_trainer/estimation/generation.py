"""Memory of writing texts: the key-value cache of the largest batch, by the sizes in the config."""

from typing import Any

import numpy as np

from finetune_api.tasks import Task
from finetune_trainer.data.tokenising.batches import cut_by_tokens
from finetune_trainer.estimation.live_memory import CACHE, LOGITS, Parts
from finetune_trainer.estimation.phases import PassSize
from finetune_trainer.estimation.sizing import Sizing

WRITING = frozenset({Task.CAUSAL_LM, Task.SEQ2SEQ, Task.PREFERENCE, Task.POLICY_OPTIMIZATION})
_COPIES = 3
"""Copies of the logits of the last token while the next one is chosen."""


def generation_parts(sizing: Sizing, most_tokens: int) -> tuple[Parts, PassSize]:
    """Bytes of the cache and of one token's logits for batches of at most so many prompt tokens, and the largest."""
    spec, tokens = sizing.spec, sizing.sampled.tokens[sizing.held_out]
    prompts = np.maximum(1, tokens.lengths - (tokens.counted if tokens.outputs is None else 0))
    parts = list(cut_by_tokens(np.arange(len(prompts)), prompts, most_tokens))
    generation = spec.evaluation.generation
    size, new = (4 if sizing.device.half is None else 2), generation.max_new_tokens
    text = sizing.base.config.get_text_config(decoder=True)
    largest = max(parts, key=lambda part: len(part) * (int(prompts[part].max()) + new))
    longest, texts = int(prompts[largest].max()), len(largest) * generation.num_beams
    cached = texts * (longest + new) * bytes_per_token(text, size)
    return {CACHE: cached, LOGITS: _COPIES * texts * int(text.vocab_size) * 4}, PassSize(len(largest), longest)


def bytes_per_token(config: Any, size: int) -> int:
    """Bytes of keys and values of one token over all layers, `size` bytes each value."""
    heads = config.num_attention_heads
    width = getattr(config, "head_dim", None) or getattr(config, "d_kv", None) or config.hidden_size // heads
    layers = getattr(config, "num_decoder_layers", None) or config.num_hidden_layers
    return int(2 * layers * (getattr(config, "num_key_value_heads", None) or heads) * width * size)
