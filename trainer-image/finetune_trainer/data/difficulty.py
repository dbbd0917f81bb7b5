"""Difficulty of a row: a number in a column."""

from dataclasses import replace
from math import isfinite

from finetune_trainer.data.reading.rows import Bad, Row, shown
from finetune_trainer.data.records import Record


def rated(record: Record, row: Row, column: str) -> Record | Bad:
    """The record with the number in `column`, or the reason it is invalid."""
    cell = row.values.get(column)
    try:
        number = float(cell) if isinstance(cell, str | int | float) else float("nan")
    except ValueError:
        number = float("nan")
    if not isfinite(number):
        return Bad(row.place, f"{column} is no number", "" if cell is None else shown(cell))
    return replace(record, difficulty=number)
