"""Records with labels: duplicates, conflicting labels, digest."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from json import dumps

import numpy as np
from numpy.typing import NDArray

from finetune_api.data_report import Place
from finetune_trainer.data.label_cells import Label, Passage, UnusableLabel
from finetune_trainer.data.labels import LabelSpace
from finetune_trainer.data.preference_pairs import Answers
from finetune_trainer.data.prepared import Examples
from finetune_trainer.data.reading.rows import Bad
from finetune_trainer.data.records import Record
from finetune_trainer.data.shapes import TargetReader


@dataclass(frozen=True)
class Labelled:
    """Records and their labels, one each."""

    records: list[Record]
    labels: list[Label]

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.records)

    def pick(self, rows: Iterable[int] | NDArray[np.int64]) -> "Labelled":
        """The rows at these indices."""
        chosen = [int(row) for row in rows]
        return Labelled([self.records[r] for r in chosen], [self.labels[r] for r in chosen])

    @property
    def identities(self) -> Iterator[str]:
        """Content and label of each row, one after another: the identity of a row."""
        rows = zip(self.records, self.labels, strict=True)
        return (dumps([record.content, label, *_prefix(record)]) for record, label in rows)

    @property
    def classes(self) -> list[frozenset[str]]:
        """Classes of each row; none for numbers."""
        return [_classes(label) for label in self.labels]

    @property
    def places(self) -> list[Place]:
        """Source location of each row."""
        return [record.place for record in self.records]


def _prefix(record: Record) -> list[str]:
    """Prefix, and what a chat has beyond its text; plain rows have the identity of earlier versions."""
    beyond = record.turns.beyond_text
    return [record.prefix, *([beyond] if beyond else [])] if record.prefix or beyond else []


def _classes(label: Label) -> frozenset[str]:
    if isinstance(label, tuple):
        return frozenset(label)
    return frozenset({label} if isinstance(label, str) and not isinstance(label, Passage) else ())


def with_labels(records: Sequence[Record], reader: TargetReader) -> tuple[Labelled, list[Bad]]:
    """Read the label of each record; records without a usable one are invalid examples."""
    kept, labels, bad = [], [], []
    for record in records:
        try:
            label = reader.read(record.label)
        except UnusableLabel as finding:
            bad.append(Bad(record.place, finding.kind, finding.detail))
        else:
            kept.append(record)
            labels.append(label)
    return Labelled(kept, labels), bad


def first_of_each(rows: Labelled) -> list[int]:
    """Indices of the rows whose text and label no earlier row has."""
    first: dict[tuple[str, str, str, str | None, Label], int] = {}
    for index, (record, label) in enumerate(zip(rows.records, rows.labels, strict=True)):
        first.setdefault((record.prefix, record.turns.beyond_text, record.text, record.pair, label), index)
    return list(first.values())


def conflicts(parts: Iterable[Labelled]) -> int:
    """Number of texts with more than one label; for answer pairs, of pairs in both orders."""
    labels: dict[str, set[Hashable]] = defaultdict(set)
    for rows in parts:
        for record, label in zip(rows.records, rows.labels, strict=True):
            asked = _asked(record.prefix + record.content + record.turns.beyond_text, label)
            labels[asked].add(frozenset(label) if isinstance(label, tuple) else label)
    return sum(len(found) > 1 for found in labels.values())


def _asked(content: str, label: Label) -> str:
    """The input that a label answers: the text, and for answer pairs the two answers."""
    return dumps([content, *label.both]) if isinstance(label, Answers) else content


def examples(rows: Labelled, space: LabelSpace) -> Examples:
    """The rows as input of tokenizer and loss."""
    records = rows.records
    pairs = [record.pair or "" for record in records] if records and records[0].pair is not None else None
    groups = [record.group or "" for record in records] if records and records[0].group is not None else None
    return Examples(
        texts=[record.prefix + record.text for record in records],
        pairs=pairs,
        labels=rows.labels,
        space=space,
        places=rows.places,
        groups=groups,
        words=[record.words for record in records],
        turns=[record.turns.prefixed(record.prefix) for record in records],
        sources=[record.source for record in records],
        difficulties=[record.difficulty for record in records],
    )


def digest(splits: dict[str, Labelled]) -> str:
    """SHA-256 over texts and labels of all splits in their order, in hexadecimal; locations are excluded."""
    summed = sha256()
    for name, rows in splits.items():
        for record, label in zip(rows.records, rows.labels, strict=True):
            summed.update(dumps([name, record.text, record.pair, label, *_prefix(record)]).encode())
            summed.update(b"\n")
    return summed.hexdigest()
