"""Tokenised prompts and chats with labels on answers; rows over the limit lose the middle of their prompt."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from finetune_trainer.data.chat import Chat, chat_columns
from finetune_trainer.data.tokenising.prompt_formats import PromptFormat, Segment
from finetune_trainer.data.tokenising.special_tokens import end_of_text, special_tokens_of
from finetune_trainer.data.tokenising.spelled_tokens import encode, with_marks
from finetune_trainer.data.tokenising.stop_tokens import answer_ends
from finetune_trainer.data.tokenising.tokens import IGNORE_INDEX, Tokens, cached, content_key

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_CHUNK = 500
_NEAR_END = 3
"""A template writes at most a few tokens of white space behind the one that ends an answer."""
_LEAST_PROMPT = 4
"""A prompt keeps at least one in so many tokens of the limit, or all that it has."""


@dataclass(frozen=True)
class EncodedRow:
    """Token ids of a row, with the spans of its answers."""

    ids: list[int]
    answers: list[range]
    """Where the answers are, in their order; the last one ends the row."""
    excluded: Sequence[range] = ()
    """Where answers are that are never learned."""

    @property
    def prompt_length(self) -> int:
        """Number of tokens before the last answer."""
        return self.answers[-1].start

    @property
    def answer_length(self) -> int:
        """Number of tokens of the last answer."""
        return len(self.ids) - self.prompt_length

    def fitted(self, limit: int, answer: int = 0) -> "EncodedRow":
        """The row truncated to `limit` tokens.

        The middle of what is in front of the last answer is left out first, since the task mostly stands at one of its
        ends. Of an answer that alone takes more than three quarters of the limit the end is left out as well. `answer`
        is the length of the longest answer to the same prompt, which is then the same in front of them all.
        """
        answer = max(self.answer_length, answer)
        if self.prompt_length + answer <= limit:
            return self
        room = max(limit - answer, min(self.prompt_length, limit // _LEAST_PROMPT))
        end = min(len(self.ids), self.prompt_length + limit - room)
        kept = [*_ends(self.prompt_length, room), *range(self.prompt_length, end)]
        return EncodedRow([self.ids[at] for at in kept], _moved(self.answers, kept), _moved(self.excluded, kept))

    def ending(self, answers: int, length: int) -> "EncodedRow":
        """The row with only its last `answers` answers as such, the last one cut to `length` tokens."""
        end = min(len(self.ids), self.prompt_length + length)
        return EncodedRow(self.ids[:end], [*self.answers[-answers:-1], range(self.prompt_length, end)])

    def labels(self, *, everything: bool) -> list[int]:
        """Ids of labelled tokens, `IGNORE_INDEX` elsewhere; the first token has no context and so no label."""
        labels = list(self.ids) if everything else [IGNORE_INDEX] * len(self.ids)
        for answer in self.answers:
            labels[answer.start : answer.stop] = self.ids[answer.start : answer.stop]
        for answer in self.excluded:
            labels[answer.start : answer.stop] = [IGNORE_INDEX] * len(answer)
        return [IGNORE_INDEX, *labels[1:]]


def _ends(length: int, room: int) -> list[int]:
    """Positions at both ends of `length` tokens that fit into `room`."""
    if length <= room:
        return list(range(length))
    head = (room + 1) // 2
    return [*range(head), *range(length - (room - head), length)]


def _moved(answers: Sequence[range], kept: Sequence[int]) -> list[range]:
    """Answer spans among the remaining positions; empty answers are dropped."""
    place = {old: new for new, old in enumerate(kept)}
    found = ([place[at] for at in answer if at in place] for answer in answers)
    return [range(places[0], places[-1] + 1) for places in found if places]


def encode_rows(rows: Sequence[Chat], form: PromptFormat, tokenizer: "PreTrainedTokenizerBase") -> list[EncodedRow]:
    """Tokenise rows that end with an answer, without truncation."""
    marked = with_marks(rows, form, tokenizer)
    encoded = encode_segments([form.segments(chat) for chat in marked], tokenizer)
    opening = list(special_tokens_of(tokenizer).opening) if form.is_framed else []
    ends = frozenset() if form.is_framed else frozenset(answer_ends(form, tokenizer))
    return [_closed(row, opening, end_of_text(tokenizer), ends) for row in encoded]


def encode_openings(
    rows: Sequence[Chat], form: PromptFormat, tokenizer: "PreTrainedTokenizerBase", limit: int
) -> list[list[int]]:
    """Tokenise prompts within `limit` tokens, cutting their middle if needed; rows lack the answer."""
    opening = list(special_tokens_of(tokenizer).opening) if form.is_framed else []
    texts = [form.opening(chat) for chat in with_marks(rows, form, tokenizer)]
    whole = [opening + ids for ids in encode(texts, tokenizer)]
    return [[ids[place] for place in _ends(len(ids), limit)] for ids in whole]


def encode_segments(rows: Sequence[Sequence[Segment]], tokenizer: "PreTrainedTokenizerBase") -> list[EncodedRow]:
    """Tokenise rows such that the tokens of a prompt are a prefix of those of its row.

    When it answers, a model gets the prompt's tokens as they are without the answer. So the tokens of the whole text
    are taken where they begin with these, and those of prompt and answer apart where they don't.
    """
    encoded, excluded = [EncodedRow([], []) for _ in rows], [list[range]() for _ in rows]
    for level in range(max(map(len, rows), default=0)):
        active = [number for number, row in enumerate(rows) if level < len(row)]
        whole = encode(["".join(part.text for part in rows[number][: level + 1]) for number in active], tokenizer)
        for number, ids in zip(active, whole, strict=True):
            row, segment = encoded[number], rows[number][level]
            start = len(row.ids)
            row.ids.extend(ids[start:] if ids[:start] == row.ids else encode([segment.text], tokenizer)[0])
            if segment.is_answer:
                row.answers.append(range(start, len(row.ids)))
            if segment.is_excluded:
                excluded[number].append(range(start, len(row.ids)))
    return [replace(row, excluded=left) for row, left in zip(encoded, excluded, strict=True)]


def _closed(row: EncodedRow, opening: list[int], end: list[int], ends: Collection[int]) -> EncodedRow:
    """The row with special tokens around it; an answer that does not end with one of `ends` gets an end of text."""
    last = row.ids[row.prompt_length :][-_NEAR_END:]
    closing = [] if any(token in ends for token in last) else end
    answers, excluded = (
        [range(part.start + len(opening), part.stop + len(opening)) for part in parts]
        for parts in (row.answers, row.excluded)
    )
    answers[-1] = range(answers[-1].start, answers[-1].stop + len(closing))
    return EncodedRow([*opening, *row.ids, *closing], answers, excluded)


def joined_rows(rows: Sequence[EncodedRow], full: Sequence[int], *, everything: bool = False) -> Tokens:
    """`Tokens` of encoded rows, with `full` as their lengths before truncation."""
    offsets = np.concatenate([[0], np.cumsum([len(row.ids) for row in rows])]).astype(np.int64)
    ids = np.asarray([token for row in rows for token in row.ids], np.int32)
    labels = np.asarray([label for row in rows for label in row.labels(everything=everything)], np.int32)
    return Tokens(ids, offsets, np.asarray(full, np.int32), None, labels)


def tokenise_prompts(
    rows: Sequence[Chat],
    form: PromptFormat,
    tokenizer: "PreTrainedTokenizerBase",
    max_length: int,
    *,
    everything: bool,
    cache: Path | None = None,
    advance: Callable[[int], None] = lambda _rows: None,
) -> Tokens:
    """Rows that end with an answer, within `max_length` tokens; labels on answers, or on `everything`."""

    def make() -> Tokens:
        kept, full = list[EncodedRow](), list[int]()
        for start in range(0, len(rows), _CHUNK):
            part = encode_rows(rows[start : start + _CHUNK], form, tokenizer)
            full.extend(len(row.ids) for row in part)
            kept.extend(row.fitted(max_length) for row in part)
            advance(len(part))
        return joined_rows(kept, full, everything=everything)

    sizes = [len(chat) for chat in rows]
    key = content_key(tokenizer, ("prompts", max_length, everything, *form.cache_key, sizes), *chat_columns(rows))
    return cached(key, cache, len(rows), advance, make)
