"""Prepared data: splits ready for the tokenizer, label space, report and digest."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetune_api.data_report import DataReport, Place
from finetune_trainer.data.chat import Chat
from finetune_trainer.data.label_cells import Label
from finetune_trainer.data.labels import LabelSpace, targets
from finetune_trainer.data.reading.rows import Bad

Targets = NDArray[np.int64] | NDArray[np.float32]


@dataclass(frozen=True)
class Examples:
    """The rows of one split, in the order of their files. `pairs` and `groups` are None without such a column."""

    texts: list[str]
    pairs: list[str] | None
    labels: list[Label]
    """What is to be learned from each row: classes, a number, tags of words, or a text."""
    space: LabelSpace
    places: list[Place]
    groups: list[str] | None = None
    words: Sequence[tuple[str, ...]] = ()
    """The input as words (token classification), else empty tuples."""
    turns: Sequence[Chat] = ()
    """The input as a chat, else empty ones."""
    sources: Sequence[int] = ()
    """Number of each row's source among those of its place."""
    difficulties: Sequence[float] = ()
    """How hard each row is; zeros where the job names no column for it."""

    @cached_property
    def targets(self) -> Targets:
        """Class numbers (int64 [n], SingleLabel), zeros and ones (float32 [n, k], MultiLabel) or numbers (float32 [n]).

        Only where there are labels of rows.
        """
        return targets(self.space, self.labels)

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.texts)

    def pick(self, rows: Iterable[int]) -> "Examples":
        """The rows at these indices, in this order."""
        chosen = list(rows)
        columns = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "space"}
        picked: dict[str, Any] = {name: [cells[row] for row in chosen] for name, cells in columns.items() if cells}
        return replace(self, **picked)


@dataclass(frozen=True)
class RowsRead:
    """The rows of one place."""

    rows: int
    """How many there are."""
    bad: tuple[Bad, ...] = ()
    """Those that can't be used."""


@dataclass(frozen=True)
class Prepared:
    """Splits with rows (`train` always), label space, data report, and digest over all rows."""

    splits: dict[str, Examples]
    labels: LabelSpace
    report: DataReport
    digest: str
    read: Mapping[str, RowsRead] = field(default_factory=dict)
    """What was read of each place that the job names files for."""
    retention: "Prepared | None" = None
    """The retention set, as the split `retention`."""

    def part(self, split: str, rows: Iterable[int]) -> "Prepared":
        """The data with these rows of a split only."""
        return replace(self, splits={**self.splits, split: self.splits[split].pick(rows)})
