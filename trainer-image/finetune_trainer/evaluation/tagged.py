"""Metrics and samples of token classification."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from finetune_api.details import Details, Sample, TaggedPiece
from finetune_api.metrics import DECIDED
from finetune_trainer.data.prepared import Examples
from finetune_trainer.data.running_text import running_text, word_places
from finetune_trainer.data.tag_schemes import OUTSIDE
from finetune_trainer.data.tags import entity_types, split_tag
from finetune_trainer.evaluation.details import SAMPLES, WORST, shorten
from finetune_trainer.evaluation.spans import Found, Span, count_found, spans

Tags = tuple[str, ...]
_WORDS_SHOWN = 80


@dataclass(frozen=True)
class TaggedRows:
    """Rows of words with expected and predicted tags, one per word."""

    rows: Examples
    predicted: Sequence[Tags]

    @cached_property
    def expected(self) -> list[Tags]:
        """Expected tags."""
        return [label for label in self.rows.labels if isinstance(label, tuple)]

    @property
    def pairs(self) -> Iterator[tuple[Tags, Tags]]:
        """Expected and predicted tags, row by row."""
        return zip(self.expected, self.predicted, strict=True)

    @cached_property
    def found(self) -> Found:
        """Entity counts."""
        return count_found(self.pairs)

    def metrics(self, named: Sequence[str]) -> dict[str, float]:
        """Word accuracy, entity metrics, and those of the types in `named`."""
        words = [(one, other) for row in self.pairs for one, other in zip(*row, strict=True)]
        figures: dict[str, float | None] = {"accuracy": sum(one == other for one, other in words) / max(1, len(words))}
        figures |= {part: self.found.figure(part) for part in ("f1", "precision", "recall")}
        for name in named:
            part, _, kind = name.partition(".")
            if kind and part in DECIDED:
                figures[name] = self.found.figure(part, kind)
        return {name: value for name, value in figures.items() if value is not None}


def predicted_tags(
    numbers: NDArray[np.int64], rows: Examples, seen: dict[int, NDArray[np.int64]], names: Sequence[str]
) -> list[Tags]:
    """Predicted tag names, one per word; words beyond the limit have the tag `O`.

    `numbers` [n, words] are those of the seen words of each row, filled up with -1; `seen` says which words that are
    in rows where not all are.
    """
    found = []
    for at, words in enumerate(rows.words):
        tags = [names[number] for number in numbers[at, : len(seen.get(at, words))]]
        if at in seen:
            by_word = dict(zip(seen[at].tolist(), tags, strict=True))
            tags = [by_word.get(word, OUTSIDE) for word in range(len(words))]
        found.append(tuple(tags))
    return found


def describe_tagged(
    tagged: TaggedRows, losses: NDArray[np.float64], baseline: Sequence[Tags], names: Sequence[str], seed: int
) -> Details:
    """Metrics per type, the rows with most errors, and sampled rows.

    `losses` [n] are those of the rows, `baseline` the tags by the base model or nothing.
    """
    wrong = np.asarray([spans(one) != spans(other) for one, other in tagged.pairs])
    worst = np.lexsort((-losses, ~wrong))[:WORST]
    drawn = np.sort(np.random.default_rng(seed).permutation(len(losses))[:SAMPLES])

    def sample(row: int) -> Sample:
        return _sample(tagged, row, float(losses[row]), baseline[row] if baseline else None)

    return Details(
        classes=tagged.found.rows(sorted(entity_types(names))),
        worst=[sample(int(row)) for row in worst],
        samples=[sample(int(row)) for row in drawn],
    )


def _sample(tagged: TaggedRows, row: int, loss: float, baseline: Tags | None) -> Sample:
    words, expected, predicted = tagged.rows.words[row], tagged.expected[row], tagged.predicted[row]
    return Sample(
        text=shorten(running_text(words)),
        expected=_listed(words, expected),
        predicted=_listed(words, predicted),
        baseline=_listed(words, baseline) if baseline is not None else "",
        loss=loss,
        place=tagged.rows.places[row],
        tagged=pieces(words, expected, predicted),
    )


def _listed(words: Sequence[str], tags: Sequence[str]) -> str:
    found = spans(tags)
    if found and all(split_tag(tag)[0] == "" for tag in tags):
        return shorten(" ".join(f"{word}/{tag}" for word, tag in zip(words, tags, strict=True)))
    return shorten(", ".join(f"{running_text(words[s.start : s.end])} ({s.kind})" for s in found)) or "no entity"


def pieces(words: Sequence[str], expected: Sequence[str], predicted: Sequence[str]) -> list[TaggedPiece]:
    """The text in pieces: each expected or predicted entity apart; overlaps are split."""
    words, text = words[:_WORDS_SHOWN], running_text(words[:_WORDS_SHOWN])
    places, sides = word_places(words), [_by_word(spans(tags), len(words)) for tags in (expected, predicted)]
    cuts = [at for at in range(len(words)) if at == 0 or any(side[at] != side[at - 1] for side in sides)]
    found = []
    for first, after in zip(cuts, [*cuts[1:], len(words)], strict=True):
        wanted, got = (side[first] for side in sides)
        piece = TaggedPiece(
            text=text[places[first][0] : places[after - 1][1]],
            expected=wanted.kind if wanted else "",
            predicted=got.kind if got else "",
            right=wanted == got,
            spaced=first > 0 and places[first][0] > places[first - 1][1],
        )
        found.append(piece)
    return found


def _by_word(found: Sequence[Span], words: int) -> list[Span | None]:
    by_word: list[Span | None] = [None] * words
    for span in found:
        for word in range(span.start, min(span.end, words)):
            by_word[word] = span
    return by_word
