"""CSV files: rows by header names, each with its first line number."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TextIO

from finetune_api.data import Quoting
from finetune_api.data_report import Place
from finetune_api.failures import DataUnreadable
from finetune_trainer.data.reading.csv_quoting import Found, find_quoting
from finetune_trainer.data.reading.csv_records import BrokenRecord, Record, lines_as_records, records
from finetune_trainer.data.reading.files import DataFile
from finetune_trainer.data.reading.rows import Bad, Row, csv_cell, shown
from finetune_trainer.data.reading.text_files import open_text

_DELIMITERS = ",;\t|"
_NONE = "\x1f"  # for files of one column, whose rows may hold any of the usual separators
_HEADER_LINES = 20
_DOUBLED = 'double quotes that belong to the text ("")'
_SEP_LINE = re.compile(r"\"?sep=(.)\"?\r?\n?")
_RULER = re.compile(r":?-{2,}:?(?:\+-+)*")
_QUOTED = re.compile(r'"(?:[^"]|"")*"?')


def read_csv(file: DataFile) -> Iterator[Row | Bad]:
    """Read a CSV file with a header line.

    A row with too few or too many fields, with broken quotes, in quotes as a whole, or that repeats the header, and the
    ruler of a table in Markdown come out as `Bad`; blank lines are passed over. Raises `DataUnreadable` for a header
    that names a column twice, for one that comes again with its columns in another order, for a quote that is never
    closed, since that swallows the rest of the file, and for quotes that seem to merge rows.
    """
    layout = _layout(file)
    if layout is None:
        return
    found = Found(file.quoting) if file.quoting is not Quoting.AUTO else _found_quoting(file, layout)
    columns: list[str] | None = None
    has_names: bool | None = None
    with _lines(file, layout.skipped) as text:
        for record in _records(text, layout, found):
            if isinstance(record, BrokenRecord):
                yield _broken(record, file, layout.skipped)
                continue
            line = layout.skipped + record.first + 1
            if columns is None:
                columns = _header(record.cells, file, line)
            else:
                place = Place(file=file.name, line=line)
                has_names = _has_name(columns, record.cells) if has_names is None else has_names
                yield (
                    _not_a_row(columns, record.cells, place, layout.delimiter)
                    or (_named_row(columns, record.cells, place) if has_names else None)
                    or _row(columns, record.cells, place, file)
                )


def find_delimiter(header: str) -> str:
    """Delimiter of a header line: the most frequent of comma, semicolon, tab and bar outside quotes."""
    bare = _QUOTED.sub("", header)
    best = max(_DELIMITERS, key=bare.count)
    return best if best in bare else _NONE


@dataclass(frozen=True)
class _Layout:
    delimiter: str
    skipped: int
    """Lines in front of the header."""
    spaced: bool
    """Whether the names in the header, and so the cells, are parted by a delimiter and a space."""


def _layout(file: DataFile) -> _Layout | None:
    """Layout of a file by its first lines; None for an empty file."""
    with open_text(file) as text:
        first, skipped = _first_line(text)
        separator = _SEP_LINE.fullmatch(first)
        if separator:
            first, skipped = text.readline(), skipped + 1
        header = _whole_record(first, text)
    if not first:
        return None
    delimiter = file.delimiter or (separator[1] if separator else find_delimiter(header))
    later = first.split(delimiter)[1:]
    spaced = bool(later) and delimiter != " " and all(name.startswith(" ") for name in later)
    return _Layout(delimiter, skipped, spaced)


def _whole_record(first: str, text: TextIO) -> str:
    """A header that spans several lines, as line breaks in spreadsheet column names make it."""
    if not first.lstrip("\ufeff ").startswith('"') and ',"' not in first and ';"' not in first and '\t"' not in first:
        return first
    header = first
    for line in islice(text, _HEADER_LINES):
        if header.count('"') % 2 == 0:
            return header
        header += line
    return header if header.count('"') % 2 == 0 else first


def _first_line(text: TextIO) -> tuple[str, int]:
    """The first non-blank line, and the number of lines before it."""
    before = 0
    for line in text:
        if line.strip():
            return line, before
        before += 1
    return "", before


@contextmanager
def _lines(file: DataFile, skipped: int) -> Iterator[Iterator[str]]:
    with open_text(file) as text:
        yield islice(text, skipped, None)


def _records(text: Iterator[str], layout: _Layout, found: Found) -> Iterator[Record | BrokenRecord]:
    if found.is_clear:
        return lines_as_records(text, layout.delimiter, spaced=layout.spaced)
    return records(text, layout.delimiter, found.quoting, spaced=layout.spaced)


def _found_quoting(file: DataFile, layout: _Layout) -> Found:
    found = find_quoting(lambda: _lines(file, layout.skipped), layout.delimiter, spaced=layout.spaced)
    if found.merged:
        raise _merges(found, file, layout.skipped)
    return found


def _merges(found: Found, file: DataFile, skipped: int) -> DataUnreadable:
    span, more = found.merged[0], len(found.merged) - 1
    first, last = skipped + span.first + 1, skipped + span.last + 1
    others = f" (and {more} more like it)" if more else ""
    return DataUnreadable(
        f"the quote opened in line {first} closes in line {last}, and {last - first + 1} lines that look like rows"
        f" become one{others}",
        where=f"{file.name}:{first}",
        hint=f"set {file.field}.quoting: None if quotes belong to the text, or DoubleQuote if this is one row"
        if file.has_quoting
        else _DOUBLED,
    )


def _broken(record: BrokenRecord, file: DataFile, skipped: int) -> Bad:
    line, last = skipped + record.first + 1, skipped + record.last + 1
    if record.is_open and last > line:
        raise DataUnreadable(
            f"a quote opened in this row is never closed and swallows everything down to line {last}",
            where=f"{file.name}:{line}",
            hint=f"close it, or {_DOUBLED}"
            + (f", or set {file.field}.quoting: None if no quote encloses a field" if file.has_quoting else ""),
        )
    detail = "the last one is never closed" if record.is_open else "quotes inside a quoted field have to be doubled"
    return Bad(Place(file=file.name, line=line), "broken quotes", detail)


def _header(cells: list[str], file: DataFile, line: int) -> list[str]:
    columns = [cell.strip().lstrip("\ufeff") for cell in cells]
    if cells[0].lstrip().startswith(("{", "[{")):
        raise DataUnreadable(
            "this looks like JSON, not CSV", where=f"{file.name}:{line}", hint=f"set {file.field}.format: JSONL or JSON"
        )
    twice = sorted({c for c in columns if c and columns.count(c) > 1})
    if twice:
        raise DataUnreadable(
            f"the header names column {shown(twice[0])} twice", where=f"{file.name}:{line}", hint="rename one of them"
        )
    return columns


def _not_a_row(columns: list[str], cells: list[str], place: Place, delimiter: str) -> Bad | None:
    """A ruler line below the header of a drawn table, or a row with a single field; None for others."""
    if len(cells) == 1 and len(columns) > 1 and delimiter in cells[0]:
        return Bad(place, "the whole row is in quotes", shown(cells[0]))
    drawn = [cell for cell in cells if cell.strip()]
    if drawn and len(columns) > 1 and all(_RULER.fullmatch(cell.strip()) for cell in drawn):
        return Bad(place, "a ruler, no row", shown(drawn[0]))
    return None


def _has_name(columns: list[str], cells: list[str]) -> bool:
    """Whether a number stands in front of the cells of a row: its name, as R's `write.table` writes."""
    return len(cells) == len(columns) + 1 and cells[0].strip().isdigit() and bool(cells[-1])


def _named_row(columns: list[str], cells: list[str], place: Place) -> Bad | None:
    if not _has_name(columns, cells):
        return None
    detail = f"{len(cells)} fields from {shown(cells[0])} on where the header has {len(columns)}"
    return Bad(place, "a row name without a column", detail)


def _row(columns: list[str], cells: list[str], place: Place, file: DataFile) -> Row | Bad:
    while len(cells) > len(columns) and not cells[-1]:
        cells.pop()
    if len(cells) != len(columns):
        return Bad(place, "wrong number of fields", f"{len(cells)} where the header has {len(columns)}")
    if not cells[0].strip() and not any(cell.strip() for cell in cells):
        return Bad(place, "empty row")
    if columns[-1] == cells[-1].strip() or cells[0].strip().lstrip("\ufeff") in columns:
        again = _header_again(columns, cells, place, file)
        if again:
            return again
    return Row(dict(zip(columns, map(csv_cell, cells), strict=True)), place)


def _header_again(columns: list[str], cells: list[str], place: Place, file: DataFile) -> Bad | None:
    """A row that repeats the header, as in concatenated files."""
    names = [cell.strip().lstrip("\ufeff") for cell in cells]
    if names == columns:
        return Bad(place, "the header again", "files put one behind the other keep one header line")
    if len(names) > 1 and sorted(names) == sorted(columns):
        raise DataUnreadable(
            "a header with the columns in another order",
            where=f"{file.name}:{place.line}",
            hint="the rows below it would be read wrongly: keep the files apart and name both under data",
        )
    return None
