"""Tokenised words: the first token of each word carries its tag, the others none."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from finetune_api.failures import ModelUnsuitable
from finetune_trainer.data.tokenising.tokens import IGNORE_INDEX, Tokens, cached, content_key

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Words = Sequence[str]
_CHUNK = 2_000


@dataclass(frozen=True)
class WordTokenizer:
    """A tokenizer applied to words, truncating to `max_length` tokens."""

    tokenizer: "PreTrainedTokenizerBase"
    max_length: int
    gap: str
    """What comes before each word but the first, where the tokenizer looks for it in the text itself."""

    def encode(self, rows: Sequence[Words], *, whole: bool = False) -> Any:
        """Token ids of some rows, with `word_ids(row)`; `whole` rows are not truncated."""
        parts = [[word if at == 0 else f"{self.gap}{word}" for at, word in enumerate(row)] for row in rows]
        cut = {} if whole else {"truncation": True, "max_length": self.max_length}
        return self.tokenizer(parts, is_split_into_words=True, verbose=False, **cut)


def word_tokenizer(tokenizer: "PreTrainedTokenizerBase", max_length: int) -> WordTokenizer:
    """A word tokenizer whose tokens are those of the running text.

    Some look for the space before a word (those of GPT-2 and RoBERTa), others put a mark there themselves.
    Raises `ModelUnsuitable` for a tokenizer that doesn't say which word a token belongs to.
    """
    check_word_ids(tokenizer)
    running = tokenizer("a b", verbose=False)["input_ids"]
    kinds = [WordTokenizer(tokenizer, max_length, gap) for gap in ("", " ")]
    return next((kind for kind in kinds if kind.encode([["a", "b"]])["input_ids"][0] == running), kinds[0])


def check_word_ids(tokenizer: "PreTrainedTokenizerBase") -> None:
    """Raise `ModelUnsuitable` for a tokenizer without `word_ids`."""
    if not tokenizer.is_fast:
        message = f"{type(tokenizer).__name__} doesn't say which word a token belongs to"
        raise ModelUnsuitable(message, where="spec.model.uri", hint="use a model with a tokenizer.json")


def tokenise_words(
    rows: Sequence[Words],
    tags: Sequence[Sequence[int]] | None,
    words: WordTokenizer,
    *,
    cache: Path | None = None,
    advance: Callable[[int], None] = lambda _rows: None,
) -> Tokens:
    """Tokenise rows of words; `labels` are the tag ids of words at their first tokens, or 0 without `tags`."""
    settings = ("words", words.max_length, words.gap)
    key = content_key(
        words.tokenizer, settings, [dumps(list(row)) for row in rows], [dumps(list(t)) for t in tags or ()]
    )
    return cached(key, cache, len(rows), advance, lambda: _tokenise(rows, tags, words, advance))


def seen_words(tokens: Tokens, rows: Sequence[Words], words: WordTokenizer) -> dict[int, NDArray[np.int64]]:
    """Mask of labelled words by row number, for rows in which some lack a label.

    The others are beyond the limit, or vanish in tokenisation, as lone control and variation characters do.
    """
    short: list[int] = np.flatnonzero(tokens.counted != [len(row) for row in rows]).tolist()
    if not short:
        return {}
    encoded = words.encode([rows[row] for row in short])
    found = [[word for word, _ in _firsts(encoded.word_ids(at))] for at in range(len(short))]
    return {row: np.asarray(seen, np.int64) for row, seen in zip(short, found, strict=True)}


def _firsts(word_ids: Sequence[int | None]) -> list[tuple[int, int]]:
    """Each word with a token, with the position of its first one."""
    first: dict[int, int] = {}
    for position, word in enumerate(word_ids):
        if word is not None:
            first.setdefault(word, position)
    return list(first.items())


def _tokenise(
    rows: Sequence[Words], tags: Sequence[Sequence[int]] | None, words: WordTokenizer, advance: Callable[[int], None]
) -> Tokens:
    ids, labels, offsets, full = list[int](), list[int](), [0], list[int]()
    for start in range(0, len(rows), _CHUNK):
        part = rows[start : start + _CHUNK]
        encoded = words.encode(part)
        for at, row in enumerate(encoded["input_ids"]):
            # Decoders add no special tokens, so words that all vanish leave nothing; models need one token.
            row_labels = [IGNORE_INDEX] * max(1, len(row))
            for word, position in _firsts(encoded.word_ids(at)):
                row_labels[position] = tags[start + at][word] if tags is not None else 0
            ids.extend(row or [words.tokenizer.pad_token_id])
            labels.extend(row_labels)
            offsets.append(len(ids))
        full.extend(_full_lengths(encoded["input_ids"], part, words))
        advance(len(part))
    arrays = (np.asarray(ids, np.int32), np.asarray(offsets, np.int64), np.asarray(full, np.int32))
    return Tokens(*arrays, labels=np.asarray(labels, np.int32))


def _full_lengths(encoded: Sequence[Sequence[int]], rows: Sequence[Words], words: WordTokenizer) -> Iterator[int]:
    """Length of each row without truncation; only possibly truncated ones are tokenised again."""
    cut = [at for at, row in enumerate(encoded) if len(row) >= words.max_length]
    whole = words.encode([rows[at] for at in cut], whole=True)["input_ids"] if cut else []
    lengths = dict(zip(cut, map(len, whole), strict=True))
    return (lengths.get(at, max(1, len(row))) for at, row in enumerate(encoded))
