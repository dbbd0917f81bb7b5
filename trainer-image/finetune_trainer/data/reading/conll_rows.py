"""CoNLL files: a word a line with its tag in the last column, and a blank line after each sentence."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby

from finetune_api.data_report import Place
from finetune_trainer.data.reading.files import DataFile
from finetune_trainer.data.reading.rows import Bad, Row, shown
from finetune_trainer.data.reading.text_files import open_text

_DOCUMENT = "-DOCSTART-"
_COMMENT = "#"


def read_conll(file: DataFile) -> Iterator[Row | Bad]:
    """Read a CoNLL file: rows with the columns `tokens` and `tags`, or `tokens` alone where lines hold a word only.

    Columns are separated by tabs, or by white space where the file has no tab; the first is the word, the last the
    tag. `-DOCSTART-` lines are passed over, as are lines that begin with `#`, unless they have exactly as many columns
    as the others. A sentence whose lines differ in their columns comes out as `Bad`, with the line.
    """
    reader = _Reader(file.name)
    with open_text(file) as text:
        numbered = enumerate(text, start=1)
        for has_words, lines in groupby(numbered, key=lambda line: bool(line[1].strip())):
            row = reader.row(list(lines)) if has_words else None
            if row is not None:
                yield row


@dataclass
class _Reader:
    name: str
    columns: int = 0
    """Columns of the file's first line with a word; 0 until it has come."""
    by_tabs: bool = field(default=False)

    def row(self, lines: list[tuple[int, str]]) -> Row | Bad | None:
        """One sentence; None where there is no word in it."""
        lines = [(number, line) for number, line in lines if not line.startswith(_DOCUMENT)]
        self._learn(lines)
        cells = [(number, self._cells(line)) for number, line in lines]
        words = [(n, found) for n, found in cells if not found[0].startswith(_COMMENT) or len(found) == self.columns]
        if not words:
            return None
        for number, found in words:
            if len(found) != self.columns:
                detail = f"{shown(' '.join(found))} has {len(found)} where the first line has {self.columns}"
                return Bad(Place(file=self.name, line=number), "wrong number of columns", detail)
        values: dict[str, object] = {"tokens": [found[0] for _, found in words]}
        if self.columns > 1:
            values["tags"] = [found[-1] for _, found in words]
        return Row(values, Place(file=self.name, line=words[0][0]))

    def _learn(self, lines: list[tuple[int, str]]) -> None:
        """Take separator and number of columns from the first line with a word."""
        first = next((line for _, line in lines if not line.startswith(_COMMENT)), None)
        if not self.columns and first is not None:
            self.by_tabs = "\t" in first.strip("\r\n")
            self.columns = len(self._cells(first))

    def _cells(self, line: str) -> list[str]:
        return line.strip("\r\n").split("\t") if self.by_tabs else line.split()
