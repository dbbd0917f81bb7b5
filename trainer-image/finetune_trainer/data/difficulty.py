"""How hard a row is: a number in a column of its own."""

from dataclasses import replace
from math import isfinite

from finetune_trainer.data.reading.rows import Bad, Row, shown
from finetune_trainer.data.records import Record


def rated(record: Record, row: Row, column: str) -> Record | Bad:
    """The record with the number in `column`, or the reason why there is none."""
    cell = row.values.get(column)
    try:
        number = float(cell) if isinstance(cell, str | int | float) else float("nan")
    except ValueError:
        number = float("nan")
    if not isfinite(number):
        return Bad(row.place, f"{column} is no number", "" if cell is None else shown(cell))
    return replace(record, difficulty=number)
