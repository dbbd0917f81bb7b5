"""CSV records by the standard library, each with its line numbers."""

import csv
import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from finetune_api.data import Quoting

csv.field_size_limit(2**31 - 1)  # the standard 128 KiB is less than a long document

_ESCAPED = re.compile(r'(?<!\\)\\"')
_DIALECTS: dict[Quoting, dict[str, Any]] = {
    Quoting.SINGLE_QUOTE: {"quotechar": "'"},
    Quoting.NONE: {"quoting": csv.QUOTE_NONE, "quotechar": None},
}


class Record(NamedTuple):
    """The cells of a record, its first and last line, counted from 0, and its lines where it has several."""

    cells: list[str]
    first: int
    last: int
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BrokenRecord:
    """A record with misplaced quotes; `is_open` where the last one is never closed."""

    first: int
    last: int
    is_open: bool


def lines_as_records(lines: Iterable[str], delimiter: str, *, spaced: bool = False) -> Iterator[Record]:
    """Records of files known to have one per line; blank lines are skipped."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=spaced)
    for cells in reader:
        if cells:
            yield Record(cells, reader.line_num - 1, reader.line_num - 1)


def records(
    lines: Iterable[str], delimiter: str, quoting: Quoting, *, spaced: bool = False
) -> Iterator[Record | BrokenRecord]:
    """Parse records; blank lines are skipped, and spaces after a delimiter where `spaced`.

    A broken record costs its first line alone: the lines after it are read again as records of their own, unless its
    quote stays open to the end.
    """
    taken: list[str] = []
    """The lines of the current record."""
    again: deque[str] = deque()
    feed = _noted(iter(lines), again, taken, escaped=quoting is Quoting.BACKSLASH)
    first, dialect = 0, _DIALECTS.get(quoting, {})
    while True:
        reader = csv.reader(feed, delimiter=delimiter, strict=True, skipinitialspace=spaced, **dialect)
        try:
            for cells in reader:
                if cells:
                    yield Record(cells, first, first + len(taken) - 1, tuple(taken) if len(taken) > 1 else ())
                first += len(taken)
                taken.clear()
        except csv.Error as error:
            is_open = "end of data" in str(error)
            yield BrokenRecord(first, first + len(taken) - 1, is_open)
            if is_open:
                return
            again.extendleft(reversed(taken[1:]))
            first += 1
            taken.clear()
        else:
            return


def _noted(lines: Iterator[str], again: deque[str], taken: list[str], *, escaped: bool) -> Iterator[str]:
    """Lines, those in `again` first, each appended to `taken`."""
    while True:
        while again:
            line = again.popleft()
            taken.append(line)
            yield _ESCAPED.sub('""', line) if escaped else line
        for line in lines:
            taken.append(line)
            yield _ESCAPED.sub('""', line) if escaped else line
            if again:
                break
        else:
            if not again:
                return
