"""Tables in one JSON object, as written by pandas' `DataFrame.to_json` and `to_dict`. Pure."""

from collections.abc import Iterator, Mapping

Values = dict[str, object]
_LISTS_OF_A_ROW = {
    "tokens",
    "words",
    "tags",
    "ner_tags",
    "pos_tags",
    "chunk_tags",
    "messages",
    "conversations",
    "labels",
}
_SPLIT = {"columns", "data"}


def table_of(value: Mapping[str, object]) -> Iterator[Values] | None:
    """Rows of a table oriented by columns, by rows or in `split` layout; None for any other object.

    By columns: a list or an object of cells for each column, all as long. By rows: an object for each row, under its
    index. Of a square of objects, the smaller side is that of the columns, and one of numbers that of the rows.
    """
    if value.keys() >= _SPLIT and _is_split(value["columns"], value["data"]):
        return _of_split(value["columns"], value["data"])  # type: ignore[arg-type]
    cells = list(value.values())
    if cells and all(isinstance(cell, list) for cell in cells):
        lists: dict[str, list[object]] = value  # type: ignore[assignment]
        return _of_lists(lists) if _is_by_lists(lists) else None
    if len(cells) > 1 and all(isinstance(cell, dict) and cell for cell in cells):
        objects: dict[str, Values] = value  # type: ignore[assignment]
        return _of_objects(objects)
    return None


def _is_split(columns: object, data: object) -> bool:
    return (
        isinstance(columns, list)
        and isinstance(data, list)
        and all(isinstance(name, str) for name in columns)
        and len(set(columns)) == len(columns)
        and all(isinstance(row, list) and len(row) == len(columns) for row in data)
    )


def _of_split(columns: list[str], data: list[list[object]]) -> Iterator[Values]:
    return (dict(zip(columns, row, strict=True)) for row in data)


def _is_by_lists(lists: Mapping[str, list[object]]) -> bool:
    """Whether lists are columns; words and tags of one sentence, though equally long, are not."""
    one_row = lists.keys() <= _LISTS_OF_A_ROW and not any(
        isinstance(cells[0], list) for cells in lists.values() if cells
    )
    return len({len(cells) for cells in lists.values()}) == 1 and not one_row


def _of_lists(lists: Mapping[str, list[object]]) -> Iterator[Values]:
    return (dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True))


def _of_objects(objects: Mapping[str, Values]) -> Iterator[Values] | None:
    inner = [cells.keys() for cells in objects.values()]
    same = all(keys == inner[0] for keys in inner)
    if same and _are_columns(list(objects), list(inner[0])):
        return ({name: cells[key] for name, cells in objects.items()} for key in inner[0])
    return iter(objects.values()) if frozenset.intersection(*map(frozenset, inner)) else None


def _are_columns(outer: list[str], inner: list[str]) -> bool:
    numbered, counted = (all(key.isdigit() for key in keys) for keys in (inner, outer))
    return numbered if numbered != counted else len(outer) < len(inner)
