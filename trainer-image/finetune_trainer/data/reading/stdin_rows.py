"""Rows on standard input, whose format is detected: JSON Lines, a JSON array, CSV, or one text per line."""

import csv
import re
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from shutil import copyfileobj

from finetune_api.data import DataFormat
from finetune_api.data_report import Place
from finetune_trainer.data.reading.csv_rows import find_delimiter, read_csv
from finetune_trainer.data.reading.files import DataFile
from finetune_trainer.data.reading.json_rows import read_json, read_jsonl
from finetune_trainer.data.reading.rows import Bad, Row
from finetune_trainer.data.reading.text_files import open_text

STDIN = "-"
_NAME = "stdin"
_RECORDS = 50
_OPENS_OBJECT = re.compile(r'\s*\{\s*(["}]|$)')
_OPENS_ARRAY = re.compile(r"\s*\[\s*(\{|\]|$)")


def spool(folder: Path) -> DataFile:
    """Standard input copied to a file in `folder`, so that it can be read more than once."""
    path = folder / "stdin"
    with path.open("wb") as copy:
        copyfileobj(sys.stdin.buffer, copy)
    return DataFile(path, _NAME, DataFormat.AUTO)


def read_stream(file: DataFile, text_column: str) -> Iterator[Row | Bad]:
    """Read the copy in the format that its beginning shows.

    JSON is what opens an object with a key, or an array of objects: `{name} asks` and `[MASK] is` are texts. CSV is
    what has `text_column` in its first line and as many fields in the lines after it. Other lines are rows with
    `text_column` alone.
    """
    with open_text(file) as text:
        first = next((line for line in text if line.strip()), "")
    if _OPENS_OBJECT.match(first):
        yield from (read_json if first.strip() == "{" else read_jsonl)(file)
    elif _OPENS_ARRAY.match(first):
        yield from read_json(file)
    elif text_column in _cells(first, file) and _is_table(file):
        yield from read_csv(file)
    else:
        yield from read_lines(file, text_column)


def read_lines(file: DataFile, text_column: str) -> Iterator[Row]:
    """One text per line in the column `text_column`; blank lines are skipped."""
    with open_text(file, newline="\n") as text:
        for number, line in enumerate(text, start=1):
            if line.strip():
                yield Row({text_column: line.rstrip("\r\n")}, Place(file=file.name, line=number))


def _cells(header: str, file: DataFile) -> list[str]:
    delimiter = file.delimiter or find_delimiter(header)
    return [cell.strip() for cell in next(csv.reader([header], delimiter=delimiter), [])]


def _is_table(file: DataFile) -> bool:
    """Whether most of the first records have as many fields as the header; a lone header has no spaces."""
    with open_text(file) as text:
        lines = (line for line in text if line.strip())
        first = next(lines)
        wanted, delimiter = len(_cells(first, file)), file.delimiter or find_delimiter(first)
        try:
            counts = [len(cells) for cells in islice(csv.reader(lines, delimiter=delimiter), _RECORDS) if cells]
        except csv.Error:
            return True  # for the reader to tell
    if not counts:
        return wanted == 1 or " " not in first.strip()
    return sum(count == wanted for count in counts) * 2 >= len(counts)
