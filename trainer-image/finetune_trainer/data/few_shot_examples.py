"""Few-shot prompts: training rows in front of a question to the base model."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from finetune_trainer.data.chat import SYSTEM, Chat
from finetune_trainer.data.prepared import Examples
from finetune_trainer.data.tokenising.prompt_formats import PlainPrompt, Refusal, Segment

T = TypeVar("T")
Content = tuple[str, str]
_BREAKS = ("\n\n", "\n\n###\n\n")


def choose_examples(
    train: Examples, asked: Examples, wanted: int, seed: int, *, of_its_source: bool = False
) -> list[list[int]]:
    """Indices of the training rows to show in front of each evaluated row, in their order.

    They are drawn once, so that all rows (or with `of_its_source` all rows of a source) show the same ones, none twice;
    only a row that is itself among them, as where test rows leak, shows the next one instead.
    """
    drawn: dict[int, dict[Content, int]] = defaultdict(dict)
    for row in np.random.default_rng(seed).permutation(len(train)).tolist():
        drawn[train.sources[row] if of_its_source else 0].setdefault(_content(train, row), row)
    chosen = []
    for number in range(len(asked)):
        pool, own = drawn[asked.sources[number] if of_its_source else 0], _content(asked, number)
        chosen.append([row for content, row in list(pool.items())[: wanted + 1] if content != own][:wanted])
    return chosen


def _content(rows: Examples, row: int) -> Content:
    return rows.texts[row], rows.pairs[row] if rows.pairs else ""


def as_many_as_fit(
    most: Sequence[int], encode: Callable[[list[int], list[int]], Sequence[T]], fits: Callable[[T], bool]
) -> tuple[list[T], list[int]]:
    """Every row with as many examples as fit, and their number.

    Args:
        most: how many examples there are for each row.
        encode: makes these rows with so many examples each.
        fits: whether what it made is short enough; a row without examples is taken as it is.
    """
    counts, made, left = list(most), dict[int, T](), list(range(len(most)))
    while left:
        found = zip(left, encode(left, [counts[row] for row in left]), strict=True)
        made |= {row: one for row, one in found if counts[row] == 0 or fits(one)}
        left = [row for row in left if row not in made]
        for row in left:
            counts[row] -= 1
    return [made[row] for row in range(len(most))], counts


def break_between(answers: Sequence[str]) -> str:
    """Separator between examples: a blank line, or a mark where answers contain blank lines."""
    return next((mark for mark in _BREAKS if not any(mark in answer for answer in answers)), _BREAKS[-1])


def shown_source(examples: Sequence[tuple[str, str]], source: str, mark: str) -> str:
    """Encoder-decoder input behind examples, each an input with its target; unchanged without examples."""
    if not examples:
        return source
    return mark.join([*(f"{given} answer: {answer}" for given, answer in examples), f"{source} answer:"])


def shown_turns(examples: Sequence[Chat], chat: Chat) -> Chat:
    """A chat behind examples as earlier messages; the system message comes first, once."""
    opening = [turn for turn in chat[:1] if turn.role == SYSTEM]
    shown = [turn for example in examples for turn in example if turn.role != SYSTEM]
    return Chat((*opening, *shown, *chat.turns[len(opening) :]), chat.variables)


@dataclass(frozen=True)
class FewShotPrompt:
    """Concatenated plain prompts with completions. A `PromptFormat`."""

    form: PlainPrompt
    mark: str
    """What stands between them."""

    @property
    def is_framed(self) -> bool:
        """See `PromptFormat.is_framed`."""
        return self.form.is_framed

    @property
    def spelled_as_text(self) -> bool:
        """See `PromptFormat.spelled_as_text`."""
        return self.form.spelled_as_text

    @property
    def cache_key(self) -> tuple[object, ...]:
        """See `PromptFormat.cache_key`."""
        return (*self.form.cache_key, self.mark)

    def opening(self, chat: Chat) -> str:
        """See `PromptFormat.opening`: examples, and the prompt that follows the last answer."""
        return self.form.written(chat, self.mark)

    def segments(self, chat: Chat) -> list[Segment]:
        """See `PromptFormat.segments`: only the last answer is one."""
        return [Segment(self.opening(chat[:-1]), is_answer=False), Segment(chat[-1].text, is_answer=True)]

    def refusal(self, chat: Chat) -> Refusal | None:
        """See `PromptFormat.refusal`."""
        return self.form.refusal(chat)
