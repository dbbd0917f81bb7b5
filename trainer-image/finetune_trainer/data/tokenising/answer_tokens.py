"""Tokenised preference pairs: both answers behind the same prompt tokens."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from finetune_trainer.data.chat import Chat, chat_columns
from finetune_trainer.data.preference_pairs import Answers
from finetune_trainer.data.prepared import Examples
from finetune_trainer.data.tokenising.prompt_formats import PromptFormat
from finetune_trainer.data.tokenising.prompt_tokens import EncodedRow, encode_rows
from finetune_trainer.data.tokenising.special_tokens import special_tokens_of
from finetune_trainer.data.tokenising.tokens import Tokens, cached, content_key

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_CHUNK = 500


def tokenise_pairs(
    rows: Examples,
    form: PromptFormat,
    tokenizer: "PreTrainedTokenizerBase",
    max_length: int,
    *,
    labelled: bool = True,
    cache: Path | None = None,
    advance: Callable[[int], None] = lambda _rows: None,
) -> Tokens:
    """Two texts per row: the prompt with the chosen answer, then with the rejected one."""
    chats = [rows.turns[row].then(turn) for row, label in enumerate(rows.labels) for turn in Answers(label).turns]
    return tokenise_answers(
        chats, form, tokenizer, max_length, a_prompt=2, labelled=labelled, cache=cache, advance=advance
    )


def tokenise_answers(
    chats: Sequence[Chat],
    form: PromptFormat,
    tokenizer: "PreTrainedTokenizerBase",
    max_length: int,
    *,
    a_prompt: int = 1,
    labelled: bool = True,
    cache: Path | None = None,
    advance: Callable[[int], None] = lambda _rows: None,
) -> Tokens:
    """Chats that end with an answer, within `max_length` tokens; where `labelled`, with labels on last answers.

    Of so many answers to one prompt (`a_prompt`), which stand one after the other, the longest says what is kept of
    the prompt: its beginning and its end. An answer loses its end where it takes more than three quarters of the limit.
    """

    def make() -> Tokens:
        kept, full = list[EncodedRow](), list[int]()
        for start in range(0, len(chats), _CHUNK * a_prompt):
            part = _closed(encode_rows(chats[start : start + _CHUNK * a_prompt], form, tokenizer), tokenizer)
            full.extend(len(row.ids) for row in part)
            for first in range(0, len(part), a_prompt):
                kept.extend(_fitted(part[first : first + a_prompt], max_length))
            advance(len(part) // a_prompt)
        offsets = np.concatenate([[0], np.cumsum([len(row.ids) for row in kept])]).astype(np.int64)
        ids = np.asarray([token for row in kept for token in row.ids], np.int32)
        labels = np.asarray([label for row in kept for label in row.labels(everything=False)], np.int32)
        return Tokens(ids, offsets, np.asarray(full, np.int32), None, labels)

    settings = ("answers", a_prompt, max_length, *form.cache_key, [len(chat) for chat in chats])
    key = content_key(tokenizer, settings, *chat_columns(chats))
    tokens = replace(cached(key, cache, len(chats) // a_prompt, advance, make), texts_a_row=a_prompt)
    return tokens if labelled else replace(tokens, labels=None)


def _fitted(answers: Sequence[EncodedRow], limit: int) -> list[EncodedRow]:
    longest = max(row.answer_length for row in answers)
    return [row.fitted(limit, longest) for row in answers]


def _closed(rows: list[EncodedRow], tokenizer: "PreTrainedTokenizerBase") -> list[EncodedRow]:
    """The rows with the token that an encoder's tokenizer appends, such as BERT's `[SEP]`."""
    closing = list(special_tokens_of(tokenizer).closing)
    if closing:
        for row in rows:
            if row.ids[-len(closing) :] != closing:
                row.ids.extend(closing)
                row.answers[-1] = range(row.answers[-1].start, len(row.ids))
    return rows
