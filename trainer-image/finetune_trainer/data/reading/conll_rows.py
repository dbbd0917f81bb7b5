"""CoNLL files: one word per line with its tag in another column, a blank line after each sentence."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from finetune_api.data_report import Place
from finetune_trainer.data.reading.conll_layout import COMMENT, Layout, document_of, find_layout, is_range
from finetune_trainer.data.reading.files import DataFile
from finetune_trainer.data.reading.rows import Bad, Row, UnclearColumn, shown
from finetune_trainer.data.reading.text_files import open_text

DOCUMENT = "document"
"""Column of the document that a sentence belongs to, in files that say where one begins."""


def read_conll(file: DataFile) -> Iterator[Row | Bad]:
    """Read a CoNLL file in two passes, the first for its layout (`conll_layout`).

    Rows have every column as a list, by its number from 1 and by its name (CoNLL-U, CoNLL-U Plus); `tokens` and `tags`
    are those that hold the words and their tags, or an `UnclearColumn`. `-DOCSTART-`, `# newdoc` and
    `#begin document` begin a document, whose name is in the column `document`. Comments are passed over, as are ranges
    and empty nodes of CoNLL-U. A sentence with a line of too few or too many columns comes out as `Bad`, with the line.
    """
    with open_text(file) as text:
        layout = find_layout(text, file.name)
    reader = _Reader(file.name, layout)
    with open_text(file) as text:
        numbered = enumerate(text, start=1)
        for has_words, lines in groupby(numbered, key=lambda line: bool(line[1].strip())):
            row = reader.row(list(lines)) if has_words else None
            if row is not None:
                yield row


@dataclass
class _Reader:
    name: str
    layout: Layout
    document: str = ""
    """Name of the document that the next sentence belongs to."""

    def row(self, lines: list[tuple[int, str]]) -> Row | Bad | None:
        """One sentence; None without words."""
        words = list[tuple[int, list[str]]]()
        for number, line in lines:
            name = document_of(line)
            cells = self.layout.split(line)
            if name is not None and not (line.startswith(COMMENT) and len(cells) == self.layout.columns and words):
                self.document = name or f"{self.name}:{number}"
            elif not self._is_passed_over(cells, opens_sentence=not words):
                words.append((number, cells))
        if not words:
            return None
        for number, cells in words:
            if len(cells) != self.layout.columns:
                detail = f"{shown(' '.join(cells))} has {len(cells)} where most lines have {self.layout.columns}"
                return Bad(Place(file=self.name, line=number), "wrong number of columns", detail)
        return Row(self._values([cells for _, cells in words]), Place(file=self.name, line=words[0][0]))

    def _is_passed_over(self, cells: list[str], *, opens_sentence: bool) -> bool:
        if cells[0].startswith(COMMENT):
            return self.layout.is_comment(cells, opens_sentence=opens_sentence)
        return self.layout.is_numbered and is_range(cells[0])

    def _values(self, words: list[list[str]]) -> dict[str, object]:
        layout, columns = self.layout, [list(column) for column in zip(*words, strict=True)]
        roles = {"tokens": layout.tokens, "tags": layout.tags}
        values: dict[str, object] = {
            role: column if isinstance(column, UnclearColumn) else columns[column]
            for role, column in roles.items()
            if column is not None
        }
        values |= {name: columns[column] for name, column in layout.names.items()}
        return values | ({DOCUMENT: self.document or self.name} if layout.has_documents else {})
