"""JSON Lines, and JSON files with one array of objects or another table."""

import json
import re
from collections.abc import Generator, Iterator
from itertools import chain
from typing import NoReturn

from finetune_api.data_report import Place
from finetune_api.failures import DataUnreadable
from finetune_trainer.data.reading.files import DataFile
from finetune_trainer.data.reading.json_tables import table_of
from finetune_trainer.data.reading.rows import Bad, Row, shown
from finetune_trainer.data.reading.split_names import SPLIT_NAMES, key_of_place, place_of
from finetune_trainer.data.reading.text_files import open_text

_KEYS = ("data", "rows", "examples")
_SYNTAX = "broken JSON"
_SPACE = re.compile(r"[ \t\r\n]*")
_OF_A_CHAT = frozenset({"role", "from", "function"})
"""Keys of messages and tools: what holds them is a row."""
_QUOTE = "'"
_PYTHON = " (names and texts have to be in double quotes)"
_TWICE = "a key given twice"
_RECORDS = "write one object per row: df.to_json(PATH, orient='records', lines=True)"
_BROKEN = (ValueError, RecursionError)  # ValueError covers syntax and numbers with thousands of digits


class _Decoder(json.JSONDecoder):
    """JSON decoder that detects duplicate keys, of which only the last value would remain."""

    def __init__(self) -> None:
        self.twice = ""
        super().__init__(object_pairs_hook=self._object)

    def _object(self, pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        if len(found) != len(pairs):
            names = [name for name, _ in pairs]
            self.twice = next(name for name in names if names.count(name) > 1)
        return found

    def row(self, value: object, place: Place) -> Row | Bad:
        """The last decoded value as a row."""
        twice, self.twice = self.twice, ""
        if twice:
            return Bad(place, _TWICE, shown(twice))
        if not isinstance(value, dict):
            return Bad(place, "not a JSON object", shown(value))
        return Row(value, place) if value else Bad(place, "empty row")


def read_jsonl(file: DataFile) -> Iterator[Row | Bad]:
    """Read one JSON object per line. Invalid lines become `Bad`; blank ones are skipped.

    A JSON array or a whole table under a `.jsonl` name is read as such. Raises `DataUnreadable` where the first line is
    no JSON at all, since then the format is wrong.
    """
    decoder = _Decoder()
    with open_text(file, newline="\n") as text:
        lines = ((number, line) for number, line in enumerate(text, start=1) if line.strip())
        first, second = next(lines, None), next(lines, None)
        if first is not None and not _is_a_whole(first[1], second):
            row = _parsed(decoder, first[1], Place(file=file.name, line=first[0]))
            if isinstance(row, Bad) and row.kind == _SYNTAX and not first[1].lstrip().startswith("{"):
                _not_json_lines(file, *first)
            yield row
            for number, line in chain([second] if second else [], lines):
                yield _parsed(decoder, line, Place(file=file.name, line=number))
            return
    if first is not None:
        yield from read_json(file)


def read_json(file: DataFile) -> Iterator[Row | Bad]:
    """Read an array of objects, or the array for the file's place in an object of arrays.

    That is the one under the place's name (`train`, `val`, `test`), under `data`, `rows` or `examples`, or the only
    one.

    Tables by columns or by rows are read as pandas writes them; their rows are numbered from 1. JSON Lines under a
    `.json` name are read as such, and a lone object is one row. The file is held in memory.
    Raises `DataUnreadable` for broken syntax and for rows that are lists without names.
    """
    with open_text(file, newline="\n") as text:
        content = text.read()
    start = _skip_space(content, 0)
    if start == len(content):
        return
    decoder = _Decoder()
    if content[start] == "[":
        yield from _arrays(decoder, content, start, file)
        return
    value, end = _decode(decoder, content, start, file)
    if _skip_space(content, end) < len(content):
        by_line = "\n" not in content[start:end] and "\n" in content[end : _skip_space(content, end)]
        yield from _lines(file) if by_line else _stream(content, start, file)
    else:
        yield from _of_object(decoder, value, content, start, file)


def _of_object(decoder: _Decoder, value: object, content: str, start: int, file: DataFile) -> Iterator[Row | Bad]:
    """The rows in a single object, which opens at `start`."""
    key = _rows_key(value, file)
    if key is not None and not decoder.twice:
        yield from _elements(decoder, content, _position_of(content, start, key), file)
        return
    table = table_of(value) if isinstance(value, dict) and not decoder.twice else None
    if table is None:
        _check_no_table(value, file)
        yield decoder.row(value, Place(file=file.name, line=content.count("\n", 0, start) + 1))
        return
    for number, values in enumerate(table, start=1):
        yield decoder.row(values, Place(file=file.name, line=number))


def _stream(content: str, position: int, file: DataFile) -> Iterator[Row | Bad]:
    """Concatenated objects on any number of lines, as `jq` prints them."""
    decoder, line, seen = _Decoder(), 1, 0
    while position < len(content):
        line, seen = line + content.count("\n", seen, position), position
        value, position = _decode(decoder, content, position, file)
        yield decoder.row(value, Place(file=file.name, line=line))
        position = _skip_space(content, position)
        if content[position : position + 1] == ",":
            position = _skip_space(content, position + 1)


def _lines(file: DataFile) -> Iterator[Row | Bad]:
    """JSON Lines, whatever the first line looks like."""
    decoder = _Decoder()
    with open_text(file, newline="\n") as text:
        for number, line in enumerate(text, start=1):
            if line.strip():
                yield _parsed(decoder, line, Place(file=file.name, line=number))


def _is_a_whole(first: str, second: tuple[int, str] | None) -> bool:
    """Whether a first line begins a JSON value that spans the file, rather than a line of JSON Lines."""
    bare = first.strip()
    return bare in ("[", "{") or bare.startswith("[{") or (second is None and bare.startswith(("{", "[[")))


def _parsed(decoder: _Decoder, line: str, place: Place) -> Row | Bad:
    try:
        value = decoder.decode(line.strip())
    except _BROKEN as error:
        return Bad(place, _SYNTAX, _words(error))
    return decoder.row(value, place)


def _check_no_table(value: object, file: DataFile) -> None:
    """Raise `DataUnreadable` for a table whose columns differ in length."""
    cells = list(value.values()) if isinstance(value, dict) else []
    if len(cells) > 1 and all(isinstance(cell, list) for cell in cells) and len({len(cell) for cell in cells}) > 1:
        lengths = ", ".join(f"{shown(name)} {len(cell):,}" for name, cell in list(value.items())[:6])  # type: ignore[attr-defined]
        raise DataUnreadable(
            f"this is a table by columns whose columns differ in length: {lengths}", where=file.name, hint=_RECORDS
        )


def _arrays(decoder: _Decoder, content: str, start: int, file: DataFile) -> Iterator[Row | Bad]:
    """Rows of the array that opens at `start` and of those that follow it, as chunked writers leave them."""
    position = start
    while position < len(content):
        if content[position] != "[":
            _broken(content, position, f"the array ends, and {shown(content[position : position + 20])} follows", file)
        position = _skip_space(content, (yield from _elements(decoder, content, position, file)))


def _elements(decoder: _Decoder, content: str, start: int, file: DataFile) -> Generator[Row | Bad, None, int]:
    """Decode the array at `start` element by element, for line numbers; returns its end."""
    position, line = start + 1, content.count("\n", 0, start + 1) + 1
    seen = start + 1
    while True:
        position = _skip_space(content, position)
        if content[position : position + 1] == "]":
            return position + 1
        line, seen = line + content.count("\n", seen, position), position
        value, position = _decode(decoder, content, position, file)
        if isinstance(value, list):
            raise DataUnreadable(
                "rows are lists, so that their columns have no names", where=f"{file.name}:{line}", hint=_RECORDS
            )
        yield decoder.row(value, Place(file=file.name, line=line))
        position = _skip_space(content, position)
        if content[position : position + 1] == ",":
            position += 1
        elif content[position : position + 1] != "]":
            _broken(content, position, "a comma or the end of the array is missing", file)


def _decode(decoder: _Decoder, content: str, position: int, file: DataFile) -> tuple[object, int]:
    try:
        return decoder.raw_decode(content, position)
    except json.JSONDecodeError as error:
        _broken(content, error.pos, error.msg, file)
    except _BROKEN as error:
        _broken(content, position, _words(error), file)


def _rows_key(value: object, file: DataFile) -> str | None:
    """Key of `value` with the rows of the file's place; None for an object that is itself a row, such as a chat.

    Raises `DataUnreadable` where several keys hold rows and none is named for the place.
    """
    if not isinstance(value, dict):
        return None
    arrays = {name: cell for name, cell in value.items() if isinstance(cell, list) and _holds_rows(name, cell)}
    if any(cell and isinstance(cell[0], dict) and _OF_A_CHAT & cell[0].keys() for cell in arrays.values()):
        return None
    key, unclear = key_of_place(arrays, file.place, _KEYS)
    if unclear:
        name = SPLIT_NAMES[file.place][0] if file.place else "data"
        hint = f"write the rows that are meant to a file of their own, or call their key {name}"
        raise DataUnreadable(f"it is not clear which rows to read: {unclear}", where=file.name, hint=hint)
    for name in arrays:
        if name != key and place_of(name) not in ("", file.place):
            file.tell_split(place_of(name), f"{file.name}:{name}")
    return key


def _holds_rows(name: str, cell: list[object]) -> bool:
    if not cell:
        return bool(place_of(name))
    return isinstance(cell[0], dict) or (isinstance(cell[0], list) and bool(place_of(name)))


def _position_of(content: str, start: int, wanted: str) -> int:
    """Position of the value of key `wanted` in the object at `start`, which is valid JSON."""
    position, plain = start + 1, json.JSONDecoder()
    while True:
        key, position = plain.raw_decode(content, _skip_space(content, position))
        position = _skip_space(content, _skip_space(content, position) + 1)
        if key == wanted:
            return position
        _, position = plain.raw_decode(content, position)
        position = _skip_space(content, position) + 1


def _skip_space(content: str, position: int) -> int:
    found = _SPACE.match(content, position)
    return found.end() if found else position


def _words(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at column {error.colno}{_PYTHON if error.doc.lstrip()[1:2] == _QUOTE else ''}"
    return "nested too deeply" if isinstance(error, RecursionError) else "a number with too many digits"


def _broken(content: str, position: int, what: str, file: DataFile) -> NoReturn:
    line = content.count("\n", 0, position) + 1
    column = position - content.rfind("\n", 0, position)
    raise DataUnreadable(
        f"broken JSON: {what} (column {column})",
        where=f"{file.name}:{line}",
        hint=f"fix it, or set {file.field}.format if this is no JSON",
    )


def _not_json_lines(file: DataFile, number: int, line: str) -> NoReturn:
    raise DataUnreadable(
        f"this is not JSON Lines: the line begins {shown(line.strip())}",
        where=f"{file.name}:{number}",
        hint=f"write one JSON object a line, or set {file.field}.format: CSV",
    )
