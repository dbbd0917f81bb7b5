"""Generated continuations of some pieces of raw text, beside the original ones."""

import numpy as np
from numpy.typing import NDArray
from torch import nn

from finetune_api.details import Sample
from finetune_trainer.data.tokenising.collate import RowSource
from finetune_trainer.observer import Monitor
from finetune_trainer.training.generation.batches import as_bytes, as_texts
from finetune_trainer.training.generation.causal import GenerationSettings, generate_texts
from finetune_trainer.training.inference import Outputs

_COUNT, _GIVEN, _WRITTEN = 6, 64, 48
"""Stretches that are looked at; tokens that are given of each, and tokens that are written, at most."""
_LEAST = 8
"""Tokens below which a block is no sample."""
GIVEN, EXPECTED, TEXT = "given", "expected", "text"


def generate_samples(
    model: nn.Module, rows: RowSource, generation: GenerationSettings, monitor: Monitor | None = None
) -> Outputs:
    """Context, original and generated continuation, as texts [n, bytes]; empty for most rows."""
    count = len(rows.lengths)
    chosen = np.unique(np.linspace(0, count - 1, _COUNT).astype(np.int64))
    chosen = chosen[rows.lengths[chosen] >= _LEAST]
    blocks = [rows.collate(np.asarray([row]))["input_ids"][0].numpy() for row in chosen]
    halves = [min(_GIVEN, len(block) // 2) for block in blocks]
    settings = generation.settings.model_copy(update={"max_new_tokens": _WRITTEN})
    prompts = [block[:half] for block, half in zip(blocks, halves, strict=True)]
    short = GenerationSettings(generation.tokenizer, settings, generation.stops)
    written = generate_texts(model, prompts, short, monitor) if prompts else []
    ahead = [block[half : half + _WRITTEN] for block, half in zip(blocks, halves, strict=True)]
    texts = {GIVEN: _decoded(prompts, generation), EXPECTED: _decoded(ahead, generation), TEXT: written}
    return {name: as_bytes(_spread(found, chosen, count)) for name, found in texts.items()}


def _decoded(rows: list[NDArray[np.int64]], generation: GenerationSettings) -> list[str]:
    return [str(generation.tokenizer.decode(row.tolist(), skip_special_tokens=True)) for row in rows]


def _spread(texts: list[str], rows: NDArray[np.int64], count: int) -> list[str]:
    spread = [""] * count
    for row, text in zip(rows, texts, strict=True):
        spread[int(row)] = text
    return spread


def read_samples(outputs: Outputs, baseline: Outputs | None) -> list[Sample]:
    """Samples from outputs of `generate_samples`, before and after training."""
    columns = [as_texts(outputs[name]) for name in (GIVEN, EXPECTED, TEXT)]
    before = as_texts(baseline[TEXT]) if baseline else [""] * len(columns[0])
    return [
        Sample(text=given, expected=expected, predicted=written, baseline=untouched)
        for given, expected, written, untouched in zip(*columns, before, strict=True)
        if given
    ]
