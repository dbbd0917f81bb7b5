"""JSON Lines, and JSON files that hold one array of objects."""

import json
import re
from collections.abc import Iterator
from typing import NoReturn

from finetune_api.data_report import Place
from finetune_api.failures import DataUnreadable
from finetune_trainer.data.reading.files import DataFile
from finetune_trainer.data.reading.rows import Bad, Row, shown
from finetune_trainer.data.reading.text_files import open_text

_KEYS = ("data", "rows", "examples", "train", "validation", "test")
_SYNTAX = "broken JSON"
_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()
_BROKEN = (ValueError, RecursionError)  # ValueError covers syntax and numbers with thousands of digits


def read_jsonl(file: DataFile) -> Iterator[Row | Bad]:
    """Read one JSON object a line. Broken lines come out as `Bad`; blank ones are passed over.

    A JSON array under a `.jsonl` name is read as such. Raises `DataUnreadable` where the first line is no JSON at all,
    since then the format is wrong.
    """
    with open_text(file, newline="\n") as text:
        lines = ((number, line) for number, line in enumerate(text, start=1) if line.strip())
        first = next(lines, None)
        is_array = first is not None and _opens_an_array(first[1])
        if first is not None and not is_array:
            row = _parsed(first[1], Place(file=file.name, line=first[0]))
            if isinstance(row, Bad) and row.kind == _SYNTAX and not first[1].lstrip().startswith("{"):
                _not_json_lines(file, *first)
            yield row
            for number, line in lines:
                yield _parsed(line, Place(file=file.name, line=number))
    if is_array:
        yield from read_json(file)


def read_json(file: DataFile) -> Iterator[Row | Bad]:
    """Read an array of objects, or an object that holds one under `data`, `rows`, `examples` or as its only array.

    JSON Lines under a `.json` name are read as such, and a lone object is one row. The file is held in memory.
    Raises `DataUnreadable` for broken syntax.
    """
    with open_text(file, newline="\n") as text:
        content = text.read()
    start = _skip_space(content, 0)
    if start == len(content):
        return
    if content[start] == "[":
        yield from _elements(content, start, file)
        return
    value, end = _decode(content, start, file)
    key = _rows_key(value)
    if _skip_space(content, end) < len(content):
        yield from read_jsonl(file)
    elif key is None:
        yield _as_row(value, Place(file=file.name, line=content.count("\n", 0, start) + 1))
    else:
        yield from _elements(content, _position_of(content, start, key), file)


def _opens_an_array(line: str) -> bool:
    """Tell whether a first line begins a JSON array of objects, rather than being a whole line of JSON Lines."""
    return line.strip() == "[" or line.lstrip().startswith("[{")


def _parsed(line: str, place: Place) -> Row | Bad:
    try:
        value = json.loads(line.strip())
    except _BROKEN as error:
        return Bad(place, _SYNTAX, _words(error))
    return _as_row(value, place)


def _as_row(value: object, place: Place) -> Row | Bad:
    if not isinstance(value, dict):
        return Bad(place, "not a JSON object", shown(value))
    return Row(value, place) if value else Bad(place, "empty row")


def _elements(content: str, start: int, file: DataFile) -> Iterator[Row | Bad]:
    """Decode the array that opens at `start` element by element, so that each has its line."""
    position, line = start + 1, content.count("\n", 0, start + 1) + 1
    seen = start + 1
    while True:
        position = _skip_space(content, position)
        if content[position : position + 1] == "]":
            return
        line, seen = line + content.count("\n", seen, position), position
        value, position = _decode(content, position, file)
        yield _as_row(value, Place(file=file.name, line=line))
        position = _skip_space(content, position)
        if content[position : position + 1] == ",":
            position += 1
        elif content[position : position + 1] != "]":
            _broken(content, position, "a comma or the end of the array is missing", file)


def _decode(content: str, position: int, file: DataFile) -> tuple[object, int]:
    try:
        return _DECODER.raw_decode(content, position)
    except json.JSONDecodeError as error:
        _broken(content, error.pos, error.msg, file)
    except _BROKEN as error:
        _broken(content, position, _words(error), file)


def _rows_key(value: object) -> str | None:
    """The key of `value` that holds the rows."""
    if not isinstance(value, dict):
        return None
    arrays = [k for k, v in value.items() if isinstance(v, list) and v and isinstance(v[0], dict)]
    usual = [k for k in _KEYS if k in arrays]
    return usual[0] if usual else arrays[0] if len(arrays) == 1 else None


def _position_of(content: str, start: int, wanted: str) -> int:
    """Position of the value of key `wanted` in the object whose text opens at `start` and is known to be whole."""
    position = start + 1
    while True:
        key, position = _DECODER.raw_decode(content, _skip_space(content, position))
        position = _skip_space(content, _skip_space(content, position) + 1)
        if key == wanted:
            return position
        _, position = _DECODER.raw_decode(content, position)
        position = _skip_space(content, position) + 1


def _skip_space(content: str, position: int) -> int:
    found = _SPACE.match(content, position)
    return found.end() if found else position


def _words(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at column {error.colno}"
    return "nested too deeply" if isinstance(error, RecursionError) else "a number with too many digits"


def _broken(content: str, position: int, what: str, file: DataFile) -> NoReturn:
    line = content.count("\n", 0, position) + 1
    column = position - content.rfind("\n", 0, position)
    raise DataUnreadable(
        f"broken JSON: {what} (column {column})",
        where=f"{file.name}:{line}",
        hint=f"mend it, or set {file.field}.format if this is no JSON",
    )


def _not_json_lines(file: DataFile, number: int, line: str) -> NoReturn:
    raise DataUnreadable(
        f"this is not JSON Lines: the line begins {shown(line.strip())}",
        where=f"{file.name}:{number}",
        hint=f"write one JSON object a line, or set {file.field}.format: CSV",
    )
