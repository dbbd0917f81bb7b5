"""Memory of writing texts: the key-value cache of the largest batch, by the sizes in the config."""

from typing import Any

import numpy as np

from finetune_api.tasks import Task
from finetune_trainer.data.tokenising.batches import cut_by_tokens
from finetune_trainer.estimation.live_memory import CACHE, LOGITS, Parts
from finetune_trainer.estimation.sizing import Sizing
from finetune_trainer.memory.token_budget import INFERENCE_TOKENS

_WRITING = frozenset({Task.CAUSAL_LM, Task.SEQ2SEQ, Task.PREFERENCE, Task.POLICY_OPTIMIZATION})


def generation_parts(sizing: Sizing) -> Parts:
    """Bytes of the cache and of the logits of one token, for the largest batch; empty where no texts are written."""
    spec, tokens = sizing.spec, sizing.sampled.tokens[sizing.held_out]
    if spec.task not in _WRITING:
        return {}
    prompts = np.maximum(1, tokens.lengths - (tokens.counted if tokens.outputs is None else 0))
    parts = cut_by_tokens(np.arange(len(prompts)), prompts, INFERENCE_TOKENS[sizing.device.kind])
    generation = spec.evaluation.generation
    size, new = (4 if sizing.device.half is None else 2), generation.max_new_tokens
    text = sizing.base.config.get_text_config(decoder=True)
    cached = max(len(part) * (int(prompts[part].max()) + new) for part in parts) * generation.num_beams
    rows = max(len(part) for part in cut_by_tokens(np.arange(len(prompts)), prompts, 1 << 62))
    logits = min(rows, len(prompts)) * generation.num_beams * int(text.vocab_size) * 4
    return {CACHE: cached * bytes_per_token(text, size), LOGITS: min(logits, 1 << 34)}


def bytes_per_token(config: Any, size: int) -> int:
    """Bytes of keys and values of one token over all layers, `size` bytes each value."""
    heads = config.num_attention_heads
    width = getattr(config, "head_dim", None) or getattr(config, "d_kv", None) or config.hidden_size // heads
    layers = getattr(config, "num_decoder_layers", None) or config.num_hidden_layers
    return int(2 * layers * (getattr(config, "num_key_value_heads", None) or heads) * width * size)
