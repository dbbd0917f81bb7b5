"""Groups of rows for splitting: the value of a column."""

import json
import math
from collections.abc import Iterable, Mapping

from finetune_api.failures import ColumnMissing, Problem
from finetune_trainer.data.columns import suggest
from finetune_trainer.data.reading.rows import Row, shown

FIELD = "spec.data.split.groupColumn"
_MANY = 20


def split_group(row: Row, column: str) -> str | None:
    """The value as text, the same for `7`, `7.0` and `"7"`; None without one."""
    cell = row.values.get(column)
    if isinstance(cell, float) and math.isfinite(cell) and cell.is_integer():
        cell = int(cell)
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return None
    if isinstance(cell, (dict, list)):
        return json.dumps(cell, sort_keys=True, default=str)
    return str(cell).strip() or None


def check_split_group(column: str, files: Mapping[str, Iterable[str]]) -> None:
    """Raise `ColumnMissing` for the first training file without the column; `files` are their columns by name."""
    for file, found in files.items():
        names = [name for name in found if name]
        if names and column not in names:
            near = suggest("group", column, names)
            listed = ", ".join(shown(name, 30) for name in names[:_MANY])
            hint = f"write  data.split: {{groupColumn: {near}}}" if near else "name one of them, or remove groupColumn"
            raise ColumnMissing(Problem(f"no column {shown(column)} in {file}; its columns are: {listed}", FIELD, hint))
