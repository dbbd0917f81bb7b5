"""What rows must be like to go on: enough of them, and few enough that are bad. Pure checks that raise."""

from collections import Counter
from collections.abc import Sequence

from finetune_api.failures import DataEmpty, Problem, TooManyBadRows
from finetune_trainer.data.reading.rows import Bad, at
from finetune_trainer.data.splits import TRAIN, sources_path

_LISTED = 20
_ADVICE = {  # by the kind of the most frequent bad rows
    "wrong number of fields": "put fields that hold the separator in quotes",
    "broken quotes": 'double quotes inside a field ("") and put the field in quotes',
    "no label": "fill the label column, or check spec.data.columns.label",
    "label is not one of data.labels.names": "correct the labels, or spec.data.labels.names",
    "label is no list": "write lists, or set spec.data.labels.separator",
    "label is no number": "correct them, or check spec.data.labels.problemType",
    "broken JSON": "write one whole JSON object a line",
}


def check_bad_rows(place: str, bad: Sequence[Bad], rows_read: int, allowed: float) -> None:
    """Raise `TooManyBadRows` where the share of bad rows is above `allowed`; lists the first of them."""
    if not bad or len(bad) <= allowed * rows_read:
        return
    frequent = Counter(b.kind for b in bad).most_common(6)
    kinds = ", ".join(f"{kind} ({count:,})" for kind, count in frequent)
    advice = _ADVICE.get(frequent[0][0], "correct them")
    summary = Problem(
        f"{len(bad):,} of {rows_read:,} rows can't be used ({len(bad) / rows_read:.1%}): {kinds}",
        sources_path(place),
        f"{advice}; or raise spec.data.maxBadRowRatio above {allowed:g}; the first of them follow",
    )
    raise TooManyBadRows(summary, *(Problem(b.reason, at(b.place)) for b in bad[:_LISTED]))


def check_not_empty(place: str, rows: int, rows_read: int, uris: Sequence[str]) -> None:
    """Raise `DataEmpty` for a place without a usable row, and for a single row to train on."""
    where = uris[0] if len(uris) == 1 else sources_path(place)
    if rows_read == 0:
        raise DataEmpty("there are no rows", where=where, hint="the file is empty, or has a header line and no rows")
    if rows == 0:
        raise DataEmpty(f"none of the {rows_read:,} rows can be used", where=where, hint="mend them or give others")
    if place == TRAIN and rows == 1:
        raise DataEmpty("one usable row is too few to learn from", where=where, hint="give at least some of each class")


def check_split(name: str, rows: int, of: int, groups: int, share: float) -> None:
    """Raise `DataEmpty` where a split that was asked for got no row from `of` rows in so many near-duplicate groups."""
    if rows:
        return
    alike = f" ({groups:,} without near-duplicates)" if groups < of else ""
    raise DataEmpty(
        f"{of:,} rows{alike} are too few to split off {share:.0%} for {name}: each class keeps a row for training, and"
        " near-duplicates stay together",
        where=f"spec.data.split.{name}",
        hint=f"add rows, name files under spec.data.{name}, or set spec.data.split.{name}: 0",
    )
