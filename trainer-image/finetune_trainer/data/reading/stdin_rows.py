"""Standard input, whose format has no ending to go by: JSON Lines, a JSON array, CSV, or one text a line."""

import csv
from collections.abc import Iterator
from pathlib import Path

from finetune_api.data import DataFormat
from finetune_api.data_report import Place
from finetune_trainer.data.reading.csv_rows import find_delimiter, read_csv
from finetune_trainer.data.reading.files import DataFile
from finetune_trainer.data.reading.json_rows import read_json, read_jsonl
from finetune_trainer.data.reading.rows import Bad, Row
from finetune_trainer.data.reading.text_files import open_text

_NAME = "stdin"


def read_stream(path: Path, text_column: str) -> Iterator[Row | Bad]:
    """Read what was piped in and is now in the file `path`; plain lines become rows with `text_column` alone."""
    file = DataFile(path, _NAME, DataFormat.AUTO, field="input")
    with open_text(file) as text:
        first = next((line for line in text if line.strip()), "")
    if first.lstrip().startswith("{"):
        yield from read_jsonl(file)
    elif first.lstrip().startswith("["):
        yield from read_json(file)
    elif text_column in _cells(first):
        yield from read_csv(file)
    else:
        yield from _lines(file, text_column)


def _cells(header: str) -> list[str]:
    return [cell.strip() for cell in next(csv.reader([header], delimiter=find_delimiter(header)), [])]


def _lines(file: DataFile, text_column: str) -> Iterator[Row]:
    with open_text(file, newline="\n") as text:
        for number, line in enumerate(text, start=1):
            if line.strip():
                yield Row({text_column: line.rstrip("\r\n")}, Place(file=_NAME, line=number))
