"""CSV quoting: whether quotes enclose fields or are part of the text, detected from the whole file.

A quote that belongs to the text, at the start of a field, opens a field to a reader of RFC 4180, which goes on to the
next quote: the lines between vanish inside one text. So the records of each reading are checked against the lines.
"""

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from finetune_api.data import Quoting
from finetune_trainer.data.reading.csv_records import BrokenRecord, Record, records

Lines = Callable[[], AbstractContextManager[Iterable[str]]]
"""Opens the lines of a file from its header line on."""

_SINGLE_QUOTED = re.compile(r"'(?:[^']|'')*'")
_DOUBLED = re.compile(r'"(?:[^"]|"")*""(?:[^"]|"")*"')
_WRAPPED = re.compile(r'"[^"]*"')
_KEPT = 1_000
_SHORT = 40


@dataclass(frozen=True)
class Span:
    """A quoted field over several lines that look like rows: first and last line, counted from the header line (0)."""

    first: int
    last: int


@dataclass(frozen=True)
class Found:
    """Detected quoting, and spans that may be merged wrongly under it; without any it is safe."""

    quoting: Quoting
    merged: Sequence[Span] = ()
    is_clear: bool = False
    """Whether every line is a row, and no quote is out of place."""


def find_quoting(lines: Lines, delimiter: str, *, spaced: bool = False) -> Found:
    """Detect the quoting of a file in one pass over its lines where each row is a line, in four at most."""
    with lines() as text:
        if _is_single_quoted(next(iter(text), ""), delimiter):
            return Found(Quoting.SINGLE_QUOTE)
    with lines() as text:
        if _is_clear(text, delimiter, spaced=spaced):
            return Found(Quoting.DOUBLE_QUOTE, is_clear=True)
    with lines() as text:
        look = _Look.at(text, delimiter)
    doubled = _tried(lines, delimiter, Quoting.DOUBLE_QUOTE, spaced=spaced)
    if not doubled.broken and not doubled.merged:
        return Found(Quoting.DOUBLE_QUOTE)
    if look.has_escapes:
        escaped = _tried(lines, delimiter, Quoting.BACKSLASH, spaced=spaced)
        if not escaped.broken and not escaped.merged:
            return Found(Quoting.BACKSLASH)
    if look.is_plain and (look.columns > 1 or doubled.broken >= doubled.multi_line):
        return Found(Quoting.NONE)
    return Found(Quoting.DOUBLE_QUOTE, doubled.merged)


def _is_single_quoted(header: str, delimiter: str) -> bool:
    cells = header.strip("\r\n").split(delimiter)
    return len(cells) > 1 and all(_SINGLE_QUOTED.fullmatch(cell) for cell in cells)


def _is_clear(lines: Iterable[str], delimiter: str, *, spaced: bool) -> bool:
    """Whether each row is one line and no quote is out of place, so that nothing can be merged.

    A line without a quote is a row whatever stands around it, so the others are parsed by themselves: one whose quote
    stays open takes the next of them along.
    """
    quoted = (line for line in lines if '"' in line)
    reader = csv.reader(quoted, delimiter=delimiter, strict=True, skipinitialspace=spaced)
    try:
        return all(reader.line_num == number for number, _ in enumerate(reader, start=1))
    except csv.Error:
        return False


@dataclass
class _Look:
    """Statistics of the lines of a file."""

    columns: int = 0
    has_escapes: bool = False
    fits: bool = True
    """Whether every line has as many fields as the header, if quotes are characters."""
    rows: int = 0
    wrapped: Counter[int] = field(default_factory=Counter)
    """Fields from quote to quote, by column."""
    doubled: bool = False
    """Whether a field from quote to quote has doubled quotes inside, as a writer of CSV leaves them."""

    @classmethod
    def at(cls, lines: Iterable[str], delimiter: str) -> "_Look":
        """Collect them in one pass."""
        look = cls()
        for line in lines:
            bare = line.rstrip("\r\n")
            if not bare.strip():
                continue
            fields = bare.rstrip(delimiter).count(delimiter) + 1
            if not look.columns:
                look.columns = fields
            look.fits = look.fits and fields <= look.columns <= bare.count(delimiter) + 1
            look.rows += 1
            if '"' in bare:
                look._quotes(bare, delimiter)
        return look

    @property
    def is_plain(self) -> bool:
        """Whether the file parses with quotes as characters, and no column is quoted throughout."""
        return self.fits and not self.doubled and all(count <= self.rows / 2 for count in self.wrapped.values())

    def _quotes(self, line: str, delimiter: str) -> None:
        self.has_escapes = self.has_escapes or '\\"' in line
        if self.fits:
            for column, cell in enumerate(line.split(delimiter)):
                self.wrapped[column] += _WRAPPED.fullmatch(cell) is not None
                self.doubled = self.doubled or (len(cell) > 2 and _DOUBLED.fullmatch(cell) is not None)


@dataclass
class _Trial:
    """Result of parsing with quotes."""

    broken: int = 0
    multi_line: int = 0
    merged: list[Span] = field(default_factory=list)


def _tried(lines: Lines, delimiter: str, quoting: Quoting, *, spaced: bool) -> _Trial:
    trial, values = _Trial(), _Values()
    candidates: list[tuple[Span, list[list[str]]]] = []
    columns = 0
    with lines() as text:
        for record in records(text, delimiter, quoting, spaced=spaced):
            if isinstance(record, BrokenRecord):
                trial.broken += 1
                continue
            columns = columns or len(record.cells)
            if record.last == record.first:
                values.note(record.cells)
            else:
                trial.multi_line += 1
                split = list(_as_rows(record, delimiter, columns)) if len(candidates) < _KEPT else []
                if split:
                    candidates.append((Span(record.first, record.last), split))
    trial.merged = [span for span, rows in candidates if delimiter == "\t" or values.know(rows)]
    return trial


def _as_rows(record: Record, delimiter: str, columns: int) -> Iterator[list[str]]:
    """Lines of a record as separate rows; empty where one of them can't be a row."""
    rows = [line.rstrip("\r\n").split(delimiter) for line in record.lines]
    if columns > 1 and all(len(row) == columns for row in rows):
        yield from rows


class _Values:
    """Repeated short values per column of single-line rows: mostly class names."""

    def __init__(self) -> None:
        self._seen: defaultdict[int, Counter[str]] = defaultdict(Counter)

    def note(self, cells: Sequence[str]) -> None:
        """Count the cells of a row."""
        for column, cell in enumerate(cells):
            known = self._seen[column]
            if len(cell) <= _SHORT and (cell in known or len(known) < _KEPT):
                known[cell] += 1

    def know(self, rows: Sequence[Sequence[str]]) -> bool:
        """Whether all rows have a known repeated value in one of the columns."""
        return any(
            all(known[row[column].strip('"')] > 1 for row in rows if column < len(row))
            for column, known in self._seen.items()
        )
