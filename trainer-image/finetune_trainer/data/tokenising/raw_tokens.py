"""Tokenised raw text: every token is a label."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from finetune_trainer.data.tokenising.special_tokens import SpecialTokens, encode, end_of_text, special_tokens_of
from finetune_trainer.data.tokenising.tokens import IGNORE_INDEX, Tokens, cached, content_key

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_CHUNK = 1_000


def tokenise_stream(
    texts: Sequence[str],
    tokenizer: "PreTrainedTokenizerBase",
    max_length: int,
    *,
    cache: Path | None = None,
    advance: Callable[[int], None] = lambda _rows: None,
) -> Tokens:
    """Concatenated texts, separated by an end of text, cut into blocks of `max_length` tokens.

    Nothing is padded or lost. A block begins with the token that the one before ended with, so that every token but
    the very first is foretold exactly once.
    """

    def make() -> Tokens:
        opening, end = special_tokens_of(tokenizer).opening, end_of_text(tokenizer)
        opening = () if opening == tuple(end) else opening  # an end of text that opens one is not written twice
        parts = (np.asarray([*opening, *ids, *end], np.int32) for ids in _encoded(texts, tokenizer, advance))
        stream = np.concatenate([np.asarray([] if opening else end, np.int32), *parts])
        starts = range(0, max(1, len(stream) - 1), max_length - 1)
        blocks = [stream[start : start + max_length] for start in starts]
        return _as_tokens(blocks, np.asarray(opening, np.int32))

    return cached(content_key(tokenizer, ("stream", max_length), texts), cache, len(texts), advance, make)


def tokenise_windows(
    texts: Sequence[str],
    tokenizer: "PreTrainedTokenizerBase",
    max_length: int,
    *,
    cache: Path | None = None,
    advance: Callable[[int], None] = lambda _rows: None,
) -> Tokens:
    """Each text with its special tokens; texts over `max_length` tokens are cut into several rows.

    Special tokens have no label: they say nothing that could be learned.
    """

    def make() -> Tokens:
        frame, windows = special_tokens_of(tokenizer), list[NDArray[np.int32]]()
        for ids in _encoded(texts, tokenizer, advance):
            windows.extend(_windows(ids, frame, max_length - frame.size))
        return _as_tokens(windows, np.asarray(sorted(tokenizer.all_special_ids), np.int32))

    return cached(content_key(tokenizer, ("windows", max_length), texts), cache, len(texts), advance, make)


def _encoded(
    texts: Sequence[str], tokenizer: "PreTrainedTokenizerBase", advance: Callable[[int], None]
) -> Iterator[list[int]]:
    for start in range(0, len(texts), _CHUNK):
        part = encode(texts[start : start + _CHUNK], tokenizer)
        yield from part
        advance(len(part))


def _windows(ids: list[int], frame: SpecialTokens, room: int) -> Iterator[NDArray[np.int32]]:
    for start in range(0, max(1, len(ids)), room):
        yield np.asarray([*frame.opening, *ids[start : start + room], *frame.closing], np.int32)


def _as_tokens(rows: Sequence[NDArray[np.int32]], unlearned: NDArray[np.int32]) -> Tokens:
    """Rows whose ids are their labels, except for ids in `unlearned` and the first token of each row."""
    lengths = np.asarray([len(row) for row in rows], np.int32)
    ids, offsets = np.concatenate(rows), np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    labels = np.where(np.isin(ids, unlearned), IGNORE_INDEX, ids).astype(np.int32)
    labels[offsets[:-1][lengths > 0]] = IGNORE_INDEX
    return Tokens(ids, offsets, lengths, None, labels)
