"""Tokenised inputs and targets for sequence-to-sequence models."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from finetune_api.data_report import Place
from finetune_api.failures import DataUnreadable, Problem
from finetune_trainer.data.prepared import Examples
from finetune_trainer.data.reading.rows import at
from finetune_trainer.data.tokenising.tokens import Tokens, cached, content_key, tokenise

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_NAMED = 5
_CHUNK = 2_000


@dataclass(frozen=True)
class Limits:
    """Maximum lengths of input and target in tokens, special tokens included."""

    source: int
    target: int


def source_text(text: str, context: str | None) -> str:
    """The model's input: the text, or question and passage in T5's format.

    The passage comes last: whatever a limit cuts off, it cuts off the passage.
    """
    return text if context is None else f"{_ahead_of_passage(text)} {context}"


def tokenise_both(
    rows: Examples,
    tokenizer: "PreTrainedTokenizerBase",
    limits: Limits,
    *,
    cache: Path | None = None,
    advance: Callable[[int], None] = lambda _rows: None,
) -> Tokens:
    """Tokenised inputs, with the targets (`rows.labels`) as their `outputs`.

    Raises `DataUnreadable` for questions that leave no room for their passage.
    """
    targets = [str(label) for label in rows.labels]

    def make() -> Tokens:
        sources = tokenise_sources(rows.texts, rows.pairs, rows.places, tokenizer, limits.source, advance=advance)
        return replace(sources, outputs=tokenise_targets(targets, tokenizer, limits.target))

    settings = ("text to text", limits.source, limits.target, rows.pairs is None)
    key = content_key(tokenizer, settings, rows.texts, rows.pairs or (), targets)
    return cached(key, cache, len(rows), advance, make)


def tokenise_sources(
    texts: Sequence[str],
    contexts: Sequence[str] | None,
    places: Sequence[Place],
    tokenizer: "PreTrainedTokenizerBase",
    limit: int,
    *,
    advance: Callable[[int], None] = lambda _rows: None,
) -> Tokens:
    """Tokenised inputs within `limit`; `contexts` are passages, where the texts are questions about them.

    Raises `DataUnreadable` for questions that leave no room for their passage.
    """
    if contexts is None:
        return tokenise(texts, None, tokenizer, limit, advance=advance)
    _check_room(texts, places, tokenizer, limit)
    asked = [source_text(text, context) for text, context in zip(texts, contexts, strict=True)]
    return tokenise(asked, None, tokenizer, limit, advance=advance)


def tokenise_targets(targets: Sequence[str], tokenizer: "PreTrainedTokenizerBase", limit: int) -> Tokens:
    """Tokenised targets: in the target mode of translation tokenizers, each with an end token."""
    ids: list[list[int]] = []
    full: list[int] = []
    for part in _chunks(targets):
        whole = tokenizer(text_target=part, truncation=False, verbose=False)["input_ids"]
        cut = tokenizer(text_target=part, truncation=True, max_length=limit, verbose=False)["input_ids"]
        ids += [_ended(row, tokenizer.eos_token_id, limit) for row in cut]
        full += [max(len(row), len(made)) for row, made in zip(whole, ids[-len(cut) :], strict=True)]
    offsets = [0, *accumulate(len(row) for row in ids)]
    flat = [token for row in ids for token in row]
    return Tokens(np.asarray(flat, np.int32), np.asarray(offsets, np.int64), np.asarray(full, np.int32))


def _ended(row: list[int], end: int | None, limit: int) -> list[int]:
    """The row with an end token: without it a model never learns to stop."""
    return row if end is None or end in row else [*row[: limit - 1], end]


def _ahead_of_passage(question: str) -> str:
    return f"question: {question} context:"


def _check_room(
    questions: Sequence[str], places: Sequence[Place], tokenizer: "PreTrainedTokenizerBase", limit: int
) -> None:
    """Raise `DataUnreadable` where a question alone fills the limit; the passage needs one token at least."""
    first = dict(zip(reversed(questions), reversed(places), strict=True))
    too_long: list[tuple[Place, int]] = []
    for part in _chunks(list(dict.fromkeys(questions))):
        encoded = tokenizer([_ahead_of_passage(text) for text in part], truncation=False, verbose=False)["input_ids"]
        too_long += [(first[text], len(row)) for text, row in zip(part, encoded, strict=True) if len(row) >= limit]
    if too_long:
        message = "the question takes {} of {} tokens, which leaves no room for its context"
        problems = [Problem(message.format(length, limit), at(place)) for place, length in too_long[:_NAMED]]
        needed = max(length for _, length in too_long) + 1
        hint = f"set spec.data.maxLength to more than {needed}, if the model can take that, or shorten the question"
        raise DataUnreadable(*problems[:-1], replace(problems[-1], hint=hint))


def _chunks(texts: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(texts), _CHUNK):
        yield list(texts[start : start + _CHUNK])
