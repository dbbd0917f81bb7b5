"""Predictions as a table for people, as JSON lines and as CSV."""

import csv
import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from finetune_trainer.prediction import Prediction

_WIDEST_TEXT = 70
_WIDE: dict[str, Any] = {"max_width": _WIDEST_TEXT, "no_wrap": True, "overflow": "ellipsis", "ratio": 1}
_LOOKS: dict[str, dict[str, Any]] = {
    "text": _WIDE,
    "pair": _WIDE,
    "label": {"style": "bold"},
    "score": {"justify": "right"},
    "next": {"style": "dim"},
}
"""How columns look, by their name; the others are plain."""


def write_jsonl(predictions: Iterable["Prediction"], stream: TextIO) -> None:
    """One object a row."""
    stream.writelines(json.dumps(prediction.as_dict(), ensure_ascii=False) + "\n" for prediction in predictions)


def write_csv(predictions: Iterable["Prediction"], stream: TextIO) -> None:
    """One line a row, one plain value a column."""
    writer: csv.DictWriter[str] | None = None
    for prediction in predictions:
        flat = prediction.as_flat()
        if writer is None:
            writer = csv.DictWriter(stream, list(flat), lineterminator="\n")
            writer.writeheader()
        writer.writerow(flat)


def write_table(predictions: Iterable["Prediction"], stream: TextIO) -> None:
    """A table of what matters most; columns without content are left out."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = [prediction.as_cells() for prediction in predictions]
    names = [name for name in dict.fromkeys(name for row in rows for name in row) if any(row.get(name) for row in rows)]
    table = Table()
    for name in names:
        table.add_column(name, **_LOOKS.get(name, {}))
    for row in rows:
        table.add_row(*(Text(" ".join(row.get(name, "").split())) for name in names))
    Console(file=stream).print(table)


WRITERS: dict[str, Callable[[Iterable["Prediction"], TextIO], None]] = {
    "table": write_table,
    "jsonl": write_jsonl,
    "csv": write_csv,
}
"""Formats by name."""
