"""Confusion matrix as table cells, and the most confused pairs."""

from collections.abc import Sequence
from dataclasses import dataclass

READABLE = 20
"""Most classes that a matrix on a page can show."""


@dataclass(frozen=True)
class Cell:
    """One cell: rows of a true class with a predicted class, and their share of the true class."""

    rows: int
    share: float
    right: bool
    tip: str


@dataclass(frozen=True)
class Mixup:
    """A confused pair of classes: `rows` of `true` were predicted as `predicted`."""

    true: str
    predicted: str
    rows: int
    share: float


def matrix_cells(confusion: Sequence[Sequence[int]], names: Sequence[str]) -> list[tuple[str, list[Cell]]]:
    """Table rows: name of the true class, and its cells."""
    return [
        (true, [_cell(count, sum(row), true, given) for count, given in zip(row, names, strict=True)])
        for true, row in zip(names, confusion, strict=True)
    ]


def _cell(rows: int, of: int, true: str, given: str) -> Cell:
    share = rows / of if of else 0.0
    what = f"are {given}, and recognised" if true == given else f"are {true}, taken for {given}"
    return Cell(rows, share, true == given, f"{rows} of {of} {what}")


def worst_mixups(confusion: Sequence[Sequence[int]], names: Sequence[str], most: int = 10) -> list[Mixup]:
    """Confused pairs by falling number of rows, then share."""
    pairs = [
        Mixup(names[i], names[j], count, count / sum(row))
        for i, row in enumerate(confusion)
        for j, count in enumerate(row)
        if count and i != j
    ]
    return sorted(pairs, key=lambda pair: (-pair.rows, -pair.share))[:most]
