"""Predictions as a table for people, as JSON lines and as CSV."""

import csv
import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TextIO

from finetune_trainer.cli.lines import can_show

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from finetune_trainer.prediction import Prediction

_TEXTS = ("text", "pair", "prompt", "input", "question", "context", "messages")
"""Columns of what the model was given; they give way to what it says."""
_ANSWERS = ("label", "score")
_STYLES = {"label": "bold", "next": "dim"}
_WIDEST_TEXT, _LEAST_TEXT = 70, 10
_EDGES = 3  # a line and two spaces per column


def write_jsonl(predictions: Iterable["Prediction"], stream: TextIO) -> None:
    """One JSON object per row, escaped to the stream's encoding."""
    for prediction in predictions:
        content = prediction.as_dict()
        line = json.dumps(content, ensure_ascii=False)
        stream.write((line if can_show(line, stream) else json.dumps(content)) + "\n")


def write_csv(predictions: Iterable["Prediction"], stream: TextIO) -> None:
    """One CSV line per row, one plain value per column."""
    writer: csv.DictWriter[str] | None = None
    for prediction in predictions:
        flat = prediction.as_flat()
        if writer is None:
            writer = csv.DictWriter(stream, list(flat), lineterminator="\n")
            writer.writeheader()
        writer.writerow(flat)


def write_table(predictions: Iterable["Prediction"], stream: TextIO) -> None:
    """A table of the most important columns; empty columns are left out.

    Texts are cut to what room there is, answers never: they are folded where a line is too short for them, and where
    it leaves no room for a text at all, the text comes on a line of its own.
    """
    from rich.console import Console

    rows = [{name: _shown(cell, stream) for name, cell in each.as_cells().items()} for each in predictions]
    names = [name for name in dict.fromkeys(name for row in rows for name in row) if any(row.get(name) for row in rows)]
    console = Console(file=stream)
    widths = _widths(rows, names, console.width)
    if widths is None and len(names) > 1:
        _write_records(rows, names, console)
    else:
        console.print(_table(rows, names, widths or {}))


def _shown(cell: str, stream: TextIO) -> str:
    """A cell on one line with its displayed width; characters outside the stream's encoding are escaped."""
    line = " ".join(cell.split())
    return line if can_show(line, stream) else line.encode(stream.encoding, "backslashreplace").decode(stream.encoding)


def _widths(rows: list[dict[str, str]], names: list[str], width: int) -> dict[str, int] | None:
    """Width of each column in characters; None where the table does not fit."""
    from rich.cells import cell_len

    wanted = {name: max(cell_len(name), *(cell_len(row.get(name, "")) for row in rows)) for name in names}
    texts = [name for name in names if name in _TEXTS]
    free = width - 1 - _EDGES * len(names)
    answers = [name for name in names if name not in texts]
    least = sum(min(_LEAST_TEXT, wanted[name]) for name in texts)
    for name in sorted((name for name in answers if name not in _ANSWERS), key=lambda name: -wanted[name]):
        others = sum(wanted[other] for other in answers if other != name)
        wanted[name] = max(min(wanted[name], free - others - least), min(_LEAST_TEXT, wanted[name]))
    room = free - sum(wanted[name] for name in answers)
    if room < least:
        return None
    for at, name in enumerate(texts):
        wanted[name] = min(wanted[name], _WIDEST_TEXT, room // (len(texts) - at))
        room -= wanted[name]
    return wanted


def _table(rows: list[dict[str, str]], names: list[str], widths: dict[str, int]) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for name in names:
        is_text = name in _TEXTS
        table.add_column(
            name,
            style=_STYLES.get(name, ""),
            justify="right" if name == "score" else "left",
            width=widths.get(name),
            no_wrap=is_text and bool(widths),
            overflow="ellipsis" if is_text and widths else "fold",
        )
    for row in rows:
        table.add_row(*(Text(row.get(name, "")) for name in names))
    return table


def _write_records(rows: list[dict[str, str]], names: list[str], console: "Console") -> None:
    """Rows as blocks of lines, for terminals that are too narrow for a table."""
    from rich.text import Text

    for row in rows:
        for name in names:
            shown = Text.assemble((f"{name}: ", "dim"), (row.get(name, ""), _STYLES.get(name, "")), overflow="fold")
            if name in _TEXTS:
                shown.truncate(console.width, overflow="ellipsis")
            if row.get(name):
                console.print(shown)
        console.print()


WRITERS: dict[str, Callable[[Iterable["Prediction"], TextIO], None]] = {
    "table": write_table,
    "jsonl": write_jsonl,
    "csv": write_csv,
}
"""Formats by name."""
