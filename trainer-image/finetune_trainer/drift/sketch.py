"""Statistics of many texts, of bounded size and without any of their words."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Floats = NDArray[np.float64]
BUCKETS = 512
_SPREAD = 0x9E3779B1  # Knuth's multiplicative hash: neighbouring ids are of like age and frequency
SCRIPTS = (
    "LATIN", "CYRILLIC", "GREEK", "ARABIC", "HEBREW", "DEVANAGARI", "BENGALI", "TAMIL", "THAI", "HANGUL", "HIRAGANA",
    "KATAKANA", "CJK", "ARMENIAN", "GEORGIAN", "ETHIOPIC", "other letter", "digit", "space", "punctuation", "symbol",
    "other",
)  # fmt: skip
"""Kinds of characters: letters by script, all else by category."""
_KINDS = {"N": "digit", "Z": "space", "P": "punctuation", "S": "symbol"}
_AT_ONCE = 1_000


@dataclass(frozen=True)
class Sketch:
    """Statistics of n texts, one value per text."""

    characters: Floats
    """Length in characters [n]."""
    tokens: Floats
    """Length in tokens, without special ones [n]."""
    unknown: Floats
    """Share of tokens that the tokenizer does not know [n]."""
    scripts: Floats
    """Characters of each kind [n, kinds]."""
    vocabulary: Floats
    """Tokens in each bucket of a hash of their ids [n, BUCKETS]."""


def sketch(texts: Sequence[str], tokenizer: "PreTrainedTokenizerBase") -> Sketch:
    """Compute the statistics of texts."""
    ids = [row for start in range(0, len(texts), _AT_ONCE) for row in _ids(texts[start : start + _AT_ONCE], tokenizer)]
    known = -1 if tokenizer.unk_token_id is None else int(tokenizer.unk_token_id)
    unknown = [sum(token == known for token in row) / max(1, len(row)) for row in ids]
    return Sketch(
        characters=np.asarray([len(text) for text in texts], np.float64),
        tokens=np.asarray([len(row) for row in ids], np.float64),
        unknown=np.asarray(unknown, np.float64),
        scripts=np.stack([_counts([kind_of(char) for char in text], len(SCRIPTS)) for text in texts]),
        vocabulary=np.stack([_counts([bucket_of(token) for token in row], BUCKETS) for row in ids]),
    )


def _ids(texts: Sequence[str], tokenizer: "PreTrainedTokenizerBase") -> list[list[int]]:
    encoded = tokenizer(list(texts), add_special_tokens=False, return_attention_mask=False, verbose=False)
    return [list(row) for row in encoded["input_ids"]]


def _counts(kinds: Sequence[int], size: int) -> Floats:
    return np.bincount(np.asarray(kinds, np.int64), minlength=size).astype(np.float64)


def bucket_of(token: int) -> int:
    """Hash bucket of a token id."""
    return ((token * _SPREAD) & 0xFFFFFFFF) * BUCKETS >> 32


@cache
def kind_of(char: str) -> int:
    """Index of a character's script in `SCRIPTS`."""
    category = unicodedata.category(char)
    if category[0] in "LM":
        script = unicodedata.name(char, "").split(" ")[0].split("-")[0]
        return SCRIPTS.index(script if script in SCRIPTS else "other letter")
    return SCRIPTS.index("space" if char.isspace() else _KINDS.get(category[0], "other"))
