"""Warnings about training texts: words for a missing value, answers that repeat their prompt. Pure."""

import re
from collections import Counter
from collections.abc import Iterator

from finetune_trainer.data.chat import USER
from finetune_trainer.data.label_cells import Label, Passage
from finetune_trainer.data.labelled import Labelled
from finetune_trainer.data.preference_pairs import Answers
from finetune_trainer.data.reading.rows import MISSING, at, shown
from finetune_trainer.data.records import Record

_LONG = 20
_MOSTLY = 0.5
_MISREAD = re.compile("\ufffd|\u00e2\u20ac|\u00c3[\u0080-\u00bf]|\u00c2[\u00a0-\u00bf]")
"""The sign for what could not be decoded, and UTF-8 read as Windows-1252 or Latin-1: quotes and accented letters."""

_MEDIA = re.compile("<(?:image|video|audio)>")
_DIALOGUE = re.compile(r"\s*Human:.*\n\s*Assistant:\s*", re.DOTALL)


def text_warnings(rows: Labelled) -> Iterator[str]:
    """Warnings about inputs and answers of rows."""
    texts = (text for record in rows.records for text in (record.text, record.pair) if text is not None)
    spelled = Counter(text.strip() for text in texts if text.strip() in MISSING)
    if spelled:
        words = ", ".join(shown(word) for word, _ in spelled.most_common(4))
        yield (
            f"{spelled.total():,} text{'s' * (spelled.total() > 1)} of training rows are no more than {words}, which"
            " programs write for a missing value: take these rows out if they are none."
        )
    broken = sum(_MISREAD.search(record.content) is not None for record in rows.records)
    if broken:
        example = next(found for record in rows.records if (found := _MISREAD.search(record.content)))
        yield (
            f"{broken:,} of {len(rows):,} training rows hold {shown(example.group())}, as texts do that were decoded"
            " wrongly: read them anew with the right encoding."
        )
    yield from _about_prompts(rows)
    repeating = sum(map(_repeats, rows.records, rows.labels))
    if repeating > _MOSTLY * len(rows):
        yield (
            f"{repeating:,} of {len(rows):,} training rows have an answer that begins with its own prompt, which is"
            " learned with it: cut it off unless that is meant."
        )
    yield from _about_scores(rows)


def _about_scores(rows: Labelled) -> Iterator[str]:
    """Warnings about pairs whose scores say the contrary."""
    against = [record for record in rows.records if record.score_margin is not None and record.score_margin < 0]
    if against:
        pairs = "1 training pair scores" if len(against) == 1 else f"{len(against):,} training pairs score"
        yield (
            f"{pairs} the rejected answer above the chosen one, for example {at(against[0].place)}: exchange the"
            " answers, or take the rows out."
        )


def _about_prompts(rows: Labelled) -> Iterator[str]:
    asked = ["\n".join(turn.content for turn in record.turns if turn.role == USER) for record in rows.records]
    media = [found.group() for text in asked if (found := _MEDIA.search(text))]
    if media:
        yield (
            f"{len(media):,} of {len(rows):,} training prompts hold {media[0]}, a place for what a model of text does"
            " not see: take these rows out."
        )
    dialogues = sum(_DIALOGUE.fullmatch(text) is not None for text in asked)
    if dialogues:
        yield (
            f"{dialogues:,} of {len(rows):,} training prompts are dialogues as text (Human: ... Assistant:) in one"
            " message: for a model with a chat template, write them as messages."
        )


def _repeats(record: Record, label: Label) -> bool:
    """Whether a target begins with its input; for pairs, whether both answers do."""
    asked = next((turn.content for turn in reversed(record.turns) if turn.role == USER), record.text).strip()
    if not isinstance(label, Passage) or len(asked) < _LONG:
        return False
    answers = label.both if isinstance(label, Answers) else (str(label),)
    return all(answer.strip().startswith(asked) for answer in answers)
