"""`TokenClassification`: words, and a tag for each."""

from collections.abc import Sequence

from finetune_api.data import Clean, Data
from finetune_api.failures import ColumnMissing, Problem
from finetune_trainer.data.cleaning import clean_text
from finetune_trainer.data.label_cells import Label, as_list
from finetune_trainer.data.labels import LabelSpace
from finetune_trainer.data.list_cells import why_no_list
from finetune_trainer.data.reading.rows import Bad, Row, UnclearColumn, shown
from finetune_trainer.data.records import Record, group_of
from finetune_trainer.data.running_text import running_text
from finetune_trainer.data.shapes.shape import with_group
from finetune_trainer.data.tags import TagReader


class TaggedWords:
    """`tokens` and `tags`: two lists of one length."""

    def __init__(self, data: Data, group_column: str) -> None:
        """Take the columns from `spec.data`."""
        columns = data.columns
        roles = {"tokens": columns.tokens or "tokens", "tags": columns.tags or "tags"}
        self.roles = with_group(roles, columns, group_column)
        self._data = data

    def record(self, row: Row) -> Record | Bad:
        """See `Shape.record`."""
        for role in ("tokens", "tags"):
            check_clear(row.values.get(self.roles[role]))
        words = cell_words(row, self.roles["tokens"], self._data.clean)
        if isinstance(words, Bad):
            return words
        tags = row.values.get(self.roles["tags"])
        count = len(as_list(tags) or words)  # what is no list is the reader's to refuse
        if count != len(words):
            return Bad(row.place, "tokens and tags differ in number", f"{len(words):,} tokens and {count:,} tags")
        return Record(running_text(words), None, tags, group_of(row, self.roles), row.place, words=words)

    def reader(self, cells: Sequence[object]) -> TagReader:
        """See `Shape.reader`. Raises as `TagReader` does."""
        self._reader = TagReader(self._data.labels, cells)
        return self._reader

    def space(self, labels: Sequence[Label]) -> LabelSpace:
        """See `Shape.space`. Raises as `TagReader.space` does."""
        return self._reader.space(labels)


def check_clear(cell: object, option: str = "") -> None:
    """Raise `ColumnMissing` for a column that the file leaves unclear; `option` names it on a command line."""
    if isinstance(cell, UnclearColumn):
        where, field = cell.file, f'write  data.columns: {{{cell.role}: "{cell.example}"}}, or another column'
        hint = f"{option} {cell.role}={cell.example}, or another column" if option else field
        raise ColumnMissing(Problem(f"which column holds the {cell.role} is not clear: {cell.reason}", where, hint))


def cell_words(row: Row, column: str, clean: Clean) -> tuple[str, ...] | Bad:
    """The cleaned words of one cell, or why there are none; a word that cleaning empties stays, as an empty one."""
    cell = row.values.get(column)
    items = as_list(cell)
    if items is None:
        return Bad(
            row.place, f"{column} is no list of words", f'{shown(cell)}{why_no_list(cell)}; write ["New", "York"]'
        )
    if any(isinstance(item, (dict, list, tuple, bytes)) for item in items):
        return Bad(row.place, f"{column} is no list of words", shown(items))
    words = tuple("" if item is None else clean_text(str(item), clean) for item in items)
    if not any(word.strip() for word in words):
        return Bad(row.place, f"{column} is empty")
    if any("\0" in word for word in words):
        return Bad(row.place, f"{column} holds a NUL character")
    try:
        "".join(words).encode()
    except UnicodeEncodeError:
        return Bad(row.place, f"{column} holds broken Unicode", "half of a surrogate pair")
    return words
