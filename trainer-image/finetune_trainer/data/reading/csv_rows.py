"""CSV by the standard library, row by row, with the line each row starts at."""

import csv
import re
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, TextIO

from finetune_api.data_report import Place
from finetune_api.failures import DataUnreadable
from finetune_trainer.data.reading.files import DataFile
from finetune_trainer.data.reading.rows import Bad, Row, shown
from finetune_trainer.data.reading.text_files import open_text

if TYPE_CHECKING:
    import _csv

csv.field_size_limit(2**31 - 1)  # the standard 128 KiB is less than a long document

_DELIMITERS = ",;\t|"
_NONE = "\x1f"  # for files of one column, whose rows may hold any of the usual separators
_SEP_LINE = re.compile(r"sep=(.)\r?\n?")
_QUOTED = re.compile(r'"(?:[^"]|"")*"?')


def read_csv(file: DataFile) -> Iterator[Row | Bad]:
    """Read a CSV file with a header line.

    A row with too few or too many fields, or with broken quotes, comes out as `Bad`; blank lines are passed over.
    Raises `DataUnreadable` for a header that names a column twice and for a quote that is never closed, since that
    swallows the rest of the file.
    """
    with open_text(file) as text:
        first, offset = _first_line(text)
        separator = _SEP_LINE.fullmatch(first)
        if separator:
            first, offset = text.readline(), offset + 1
        if not first:
            return
        delimiter = file.delimiter or (separator[1] if separator else find_delimiter(first))
        records = csv.reader(chain([first], text), delimiter=delimiter, strict=True)
        columns: list[str] | None = None
        for line, cells in _records(records, offset, file):
            if isinstance(cells, Bad):
                yield cells
            elif columns is None:
                columns = _header(cells, file, line)
            else:
                yield _row(columns, cells, Place(file=file.name, line=line))


def find_delimiter(header: str) -> str:
    """The separator of a header line: the most frequent of comma, semicolon, tab and bar outside quotes."""
    bare = _QUOTED.sub("", header)
    best = max(_DELIMITERS, key=bare.count)
    return best if best in bare else _NONE


def _first_line(text: TextIO) -> tuple[str, int]:
    """The first line with something in it, and how many lines came before it."""
    before = 0
    for line in text:
        if line.strip():
            return line, before
        before += 1
    return "", before


def _records(records: "_csv.Reader", offset: int, file: DataFile) -> Iterator[tuple[int, list[str] | Bad]]:
    while True:
        line = offset + records.line_num + 1
        try:
            cells = next(records)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, _broken(error, file, line, offset + records.line_num)
            continue
        if cells:
            yield line, cells


def _broken(error: csv.Error, file: DataFile, line: int, last: int) -> Bad:
    open_at_end = "end of data" in str(error)
    if open_at_end and last > line:
        raise DataUnreadable(
            f"a quote opened in this row is never closed and swallows everything down to line {last}",
            where=f"{file.name}:{line}",
            hint='close it, or double quotes that belong to the text ("")',
        )
    detail = "the last one is never closed" if open_at_end else "quotes inside a quoted field have to be doubled"
    return Bad(Place(file=file.name, line=line), "broken quotes", detail)


def _header(cells: list[str], file: DataFile, line: int) -> list[str]:
    columns = [cell.strip() for cell in cells]
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


def _row(columns: list[str], cells: list[str], place: Place) -> Row | Bad:
    while len(cells) > len(columns) and not cells[-1]:
        cells.pop()
    if len(cells) != len(columns):
        return Bad(place, "wrong number of fields", f"{len(cells)} where the header has {len(columns)}")
    if not any(cell.strip() for cell in cells):
        return Bad(place, "empty row")
    return Row(dict(zip(columns, cells, strict=True)), place)
