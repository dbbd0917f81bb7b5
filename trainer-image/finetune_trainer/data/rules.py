"""Limits on rows: enough usable ones, few enough invalid ones. Pure checks that raise."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from finetune_api.failures import DataEmpty, Problem, TooManyBadRows
from finetune_trainer.data.label_cells import NAN_IN_CSV, OTHER_NOTATION
from finetune_trainer.data.reading.rows import Bad, at, shown
from finetune_trainer.data.splits import TRAIN, sources_path

_LISTED = 20
_ADVICE = {  # by the kind of the most frequent bad rows
    "wrong number of fields": "put fields that hold the separator in quotes, and name every column in the header",
    "a row name without a column": "write the table without row names (R: row.names = FALSE) or a header with a name"
    " for theirs, too; if the number is a cell, put fields that hold the separator in quotes",
    "the whole row is in quotes": "remove the quotes around each row",
    "broken quotes": 'double quotes inside a field ("") and put the field in quotes',
    "no label": "fill the label column, or check spec.data.columns.label",
    "label is not one of data.labels.names": "correct the labels, or spec.data.labels.names",
    "label is no list": "write lists, or set spec.data.labels.separator",
    NAN_IN_CSV: "name nan in spec.data.labels.names if it is a class, else leave the cells empty",
    OTHER_NOTATION: "set spec.data.labels.decimal: ',' for 1,5 and 1.234,5, or '.' for 1,234.5",
    "the header again": "remove the header lines in the middle of the file",
    "a key given twice": "give each key once in an object",
    "label is no number": "correct them, or check spec.data.labels.problemType",
    "broken JSON": "write one whole JSON object a line",
    "a message lacks role or content": 'write messages as {"role": "user", "content": "..."}',
    "unknown role of a message": "rename the roles to those that are known",
    "the annotator did not accept the row": "take out the rows whose answer is not accept",
    "label is no class": "write one name or number in each cell, or name what is in it by a path in data.columns",
}
_ADVICE_BY_END = {  # of kinds that begin with the name of a column
    " is no text": "write one text in each cell, or name what is in it by a path in data.columns",
    " is no list of messages": 'write messages as [{"role": "user", "content": "..."}, ...]',
    " is a single word": 'write a row per sentence, with its words and tags as lists: ["New", "York"]; or CoNLL: word,'
    " tab and tag a line, and a blank line after each sentence",
    " is no list of words": 'write a row per sentence, with its words as a list: ["New", "York"]',
}


def check_bad_rows(place: str, bad: Sequence[Bad], rows_read: int, allowed: float) -> None:
    """Raise `TooManyBadRows` where the ratio of invalid examples is above `allowed`; lists the first ones."""
    if not bad or len(bad) <= allowed * rows_read:
        return
    frequent = Counter(b.kind for b in bad).most_common(6)
    kinds = ", ".join(f"{kind} ({count:,})" for kind, count in frequent)
    advice = _advice(frequent[0][0])
    summary = Problem(
        f"{len(bad):,} of {rows_read:,} rows can't be used ({len(bad) / rows_read:.1%}): {kinds}",
        sources_path(place),
        f"{advice}; or raise spec.data.maxBadRowRatio above {allowed:g}; the first of them follow",
    )
    raise TooManyBadRows(summary, *(Problem(b.reason, at(b.place)) for b in bad[:_LISTED]))


def _advice(kind: str) -> str:
    by_end = next((advice for end, advice in _ADVICE_BY_END.items() if kind.endswith(end)), "correct them")
    return _ADVICE.get(kind, by_end)


def check_not_empty(place: str, rows: int, rows_read: int, uris: Sequence[str]) -> None:
    """Raise `DataEmpty` for a place without a usable row, and for a single row to train on."""
    where = uris[0] if len(uris) == 1 else sources_path(place)
    if rows_read == 0:
        raise DataEmpty("there are no rows", where=where, hint="the file is empty, or has a header line and no rows")
    if rows == 0:
        raise DataEmpty(f"none of the {rows_read:,} rows can be used", where=where, hint="fix them or give others")
    if place == TRAIN and rows == 1:
        raise DataEmpty("one usable row is too few to learn from", where=where, hint="give at least some of each class")


@dataclass(frozen=True)
class Indivisible:
    """Groups of training rows that stay in one split."""

    rows: int
    without_near_duplicates: int
    """Groups of rows that are nearly the same."""
    column: str = ""
    """Column whose values keep rows together; empty for none."""
    values: int = 0
    """Groups by that column."""


def check_split(name: str, rows: int, of: Indivisible, share: float) -> None:
    """Raise `DataEmpty` where a requested split is empty."""
    if rows:
        return
    alike = of.without_near_duplicates < of.rows
    counts = [f"{of.without_near_duplicates:,} without near-duplicates"] if alike else []
    reasons = ["each class keeps a row for training", *(["near-duplicates stay together"] if alike else [])]
    hints = ["add rows", f"name files under spec.data.{name}", f"set spec.data.split.{name}: 0"]
    if of.column:
        counts.insert(0, f"{of.values:,} groups by {shown(of.column)}")
        reasons.append(f"rows of one {shown(of.column)} stay together")
    if alike:
        hints.append("set spec.data.split.nearDuplicates: Ignore")
    counted = f" ({', '.join(counts)})" if counts else ""
    raise DataEmpty(
        f"{of.rows:,} rows{counted} are too few to split off {share:.0%} for {name}: {_listed(reasons, 'and')}",
        where=f"spec.data.split.{name}",
        hint=_listed(hints, "or"),
    )


def _listed(parts: Sequence[str], word: str) -> str:
    if len(parts) == 1:
        return parts[0]
    return f"{', '.join(parts[:-1])}{',' if len(parts) > 2 or word == 'and' else ''} {word} {parts[-1]}"
