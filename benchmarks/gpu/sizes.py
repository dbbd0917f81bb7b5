"""Sizes of the check on a GPU, and of its rehearsal on a CPU: model, rows, steps."""

from dataclasses import dataclass
from typing import Any

SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")
_LLAMA_1B = {
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128_256,
}
_QWEN_1B = {
    "hidden_size": 2048,
    "intermediate_size": 6144,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "vocab_size": 151_936,
}
_TINY = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 512,
}
FAMILIES = {"llama": _LLAMA_1B, "qwen3": _QWEN_1B}
"""Config of a model by its type in transformers: those of Llama 3.2 1B and Qwen 3 1.7B."""


@dataclass(frozen=True)
class Size:
    """Size of all that is measured."""

    family: str
    config: dict[str, Any]
    rows: int
    longest: int
    """`data.maxLength`, and most words of a row."""
    batch: int
    steps: int
    warm_up: int
    """First steps, which are not timed."""

    @property
    def vocabulary(self) -> int:
        """Words of the tokenizer."""
        return int(self.config["vocab_size"])


def size_of(family: str, *, rehearsal: bool) -> Size:
    """The size for a GPU, or for a rehearsal of all steps on a CPU."""
    if rehearsal:
        return Size(family, _TINY, rows=16, longest=64, batch=4, steps=6, warm_up=2)
    return Size(family, FAMILIES[family], rows=512, longest=2048, batch=32, steps=40, warm_up=10)
