"""Dotted paths into cells that are objects: `translation.en` is `en` in the column `translation`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from json import loads

from finetune_trainer.data.reading.rows import Row

_NOTHING = object()
_LONGEST = 1 << 20


def dotted(names: Iterable[str]) -> tuple[str, ...]:
    """The names that may be paths."""
    return tuple(dict.fromkeys(name for name in names if "." in name.strip(".")))


def with_paths(row: Row, paths: Sequence[str]) -> Row:
    """The row with a cell per resolvable path; columns with a dotted name of their own take precedence."""
    found = {
        path: value for path in paths if path not in row.values and (value := _at(row.values, path)) is not _NOTHING
    }
    return replace(row, values={**row.values, **found}) if found else row


def inner_names(values: Mapping[str, object]) -> list[str]:
    """Paths into the object cells of a row, without nested lists and objects."""
    cells = ((name, _parsed(cell)) for name, cell in values.items())
    inner = ((name, key, item) for name, cell in cells if isinstance(cell, Mapping) for key, item in cell.items())
    return [f"{name}.{key}" for name, key, item in inner if not _holds_objects(item)]


def _holds_objects(item: object) -> bool:
    return any(isinstance(part, Mapping) for part in (item if isinstance(item, list) else [item]))


def _at(values: Mapping[str, object], path: str) -> object:
    """The value at a path. The longest column name that it begins with is its column."""
    parts = path.split(".")
    for count in range(len(parts) - 1, 0, -1):
        name = ".".join(parts[:count])
        if name in values:
            return _inside(values[name], parts[count:])
    return _NOTHING


def _inside(cell: object, parts: Sequence[str]) -> object:
    for number, part in enumerate(parts):
        cell = _parsed(cell)
        rest = ".".join(parts[number:])
        if isinstance(cell, Mapping) and rest in cell:
            return cell[rest]
        if isinstance(cell, Mapping) and part in cell:
            cell = cell[part]
        elif isinstance(cell, (list, tuple)) and part.isdecimal() and int(part) < len(cell):
            cell = cell[int(part)]
        else:
            return _NOTHING
    return cell


def _parsed(cell: object) -> object:
    """The object or list of a JSON text cell, as in CSV files; other cells as they are."""
    if not isinstance(cell, str) or len(cell) > _LONGEST or cell.strip()[:1] not in ("{", "["):
        return cell
    try:
        return loads(cell)
    except (ValueError, RecursionError):
        return cell
