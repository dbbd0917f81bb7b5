"""Entity spans of tagged words, and precision, recall and F1 over them. Pure.

Tags are read as conlleval and seqeval read them: `B-`, `S-` and `U-` begin an entity, and so does any other prefix
after `O`, after an end (`E-`, `L-`) or with another type. A plain tag is an entity of one word. An entity is found
where type, first and last word are all as expected.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from finetune_api.details import ClassRow
from finetune_trainer.data.tag_schemes import OUTSIDE
from finetune_trainer.data.tags import split_tag

_ENDING = ("", "S", "U", "E", "L")
_BEGINNING = ("", "B", "S", "U")


class Span(NamedTuple):
    """An entity: its type and the word span [start, end)."""

    kind: str
    start: int
    end: int


def spans(tags: Sequence[str]) -> list[Span]:
    """The entities of a row, in order; an empty tag stands for `O`."""
    found: list[Span] = []
    is_open = False
    for at, tag in enumerate(tags):
        if tag in (OUTSIDE, ""):
            is_open = False
            continue
        prefix, kind = split_tag(tag)
        if is_open and prefix not in _BEGINNING and found[-1].kind == kind:
            found[-1] = found[-1]._replace(end=at + 1)
        else:
            found.append(Span(kind, at, at + 1))
        is_open = prefix not in _ENDING
    return found


@dataclass(frozen=True)
class Found:
    """Counts by entity type: expected, predicted and correct entities."""

    expected: Counter[str]
    predicted: Counter[str]
    right: Counter[str]

    def figure(self, part: str, kind: str = "") -> float | None:
        """Precision, recall or F1 over all entities, or of one type; None without expected entities."""
        expected, predicted, right = (
            counts[kind] if kind else counts.total() for counts in (self.expected, self.predicted, self.right)
        )
        if not expected:
            return None
        below = {"precision": predicted, "recall": expected, "f1": (predicted + expected) / 2}[part]
        return right / below if below else 0.0

    def rows(self, kinds: Iterable[str]) -> list[ClassRow]:
        """Metrics of each type."""
        return [
            ClassRow(
                label=kind,
                precision=self.figure("precision", kind) or 0.0,
                recall=self.figure("recall", kind) or 0.0,
                f1=self.figure("f1", kind) or 0.0,
                support=self.expected[kind],
            )
            for kind in kinds
        ]


def count_found(pairs: Iterable[tuple[Sequence[str], Sequence[str]]]) -> Found:
    """Count entities over rows of expected and predicted tags."""
    counters = Found(Counter(), Counter(), Counter())
    for expected, predicted in pairs:
        wanted, got = spans(expected), spans(predicted)
        counters.expected.update(_kinds(wanted))
        counters.predicted.update(_kinds(got))
        counters.right.update(_kinds(set(wanted) & set(got)))
    return counters


def _kinds(found: Iterable[Span]) -> Iterator[str]:
    return (span.kind for span in found)
