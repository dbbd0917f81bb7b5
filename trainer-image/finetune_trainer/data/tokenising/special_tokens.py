"""The special tokens that a tokenizer puts around a text: BERT's `[CLS]` and `[SEP]`, Llama's `<s>`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_PROBE = "a"


@dataclass(frozen=True)
class SpecialTokens:
    """Ids before and after a text; mostly one or none."""

    opening: tuple[int, ...]
    closing: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of special tokens."""
        return len(self.opening) + len(self.closing)


def special_tokens_of(tokenizer: "PreTrainedTokenizerBase") -> SpecialTokens:
    """The special tokens that a tokenizer adds to a single text."""
    bare = encode([_PROBE], tokenizer)[0]
    framed = list(tokenizer(_PROBE, verbose=False)["input_ids"])
    start = next((at for at in range(len(framed)) if framed[at : at + len(bare)] == bare), 0)
    return SpecialTokens(tuple(framed[:start]), tuple(framed[start + len(bare) :]))


def encode(texts: Sequence[str], tokenizer: "PreTrainedTokenizerBase") -> list[list[int]]:
    """Token ids of the texts without truncation or added special tokens."""
    if not texts:
        return []
    return [list(row) for row in tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]]


def end_of_text(tokenizer: "PreTrainedTokenizerBase") -> list[int]:
    """The end-of-text id as a list; empty without one."""
    return [] if tokenizer.eos_token_id is None else [int(tokenizer.eos_token_id)]
