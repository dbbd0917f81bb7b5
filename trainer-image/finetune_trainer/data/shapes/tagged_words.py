"""`TokenClassification`: words with a tag each."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from finetune_api.data import Clean, Columns, Data
from finetune_api.failures import ColumnMissing, Problem
from finetune_trainer.data.cleaning import clean_text
from finetune_trainer.data.entity_spans import SPAN_COLUMNS, as_spans, words_and_tags
from finetune_trainer.data.label_cells import Label, as_list
from finetune_trainer.data.labels import LabelSpace
from finetune_trainer.data.list_cells import why_no_list
from finetune_trainer.data.reading.rows import Bad, Row, UnclearColumn, shown
from finetune_trainer.data.records import Record, group_of
from finetune_trainer.data.running_text import running_text
from finetune_trainer.data.shapes.shape import rejected, with_group
from finetune_trainer.data.tags import TagReader


class TaggedWords:
    """`tokens` and `tags`, two lists of one length; or a text with character spans of entities."""

    def __init__(self, data: Data, group_column: str) -> None:
        """Take the columns from `spec.data`."""
        columns = data.columns
        roles = {"tokens": columns.tokens or "tokens", "tags": columns.tags or "tags"}
        self.roles = with_group(roles, columns, group_column)
        self._data, self._is_seen = data, bool(columns.tokens and columns.tags)

    def record(self, row: Row) -> Record | Bad:
        """See `Shape.record`."""
        if not self._is_seen:
            self.roles, self._is_seen = {**self.roles, **_spans_roles(row.values, self._data.columns)}, True
        if (refused := rejected(row)) is not None:
            return refused
        spanned = _with_words(row, self.roles)
        if isinstance(spanned, Bad):
            return spanned
        row = spanned
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


def _spans_roles(values: Mapping[str, object], named: Columns) -> dict[str, str]:
    """Columns by role for texts with spans, by their usual names; empty for other rows."""
    if "tags" in values and any(not isinstance(token, Mapping) for token in as_list(values.get("tokens")) or ()):
        return {}
    usual_texts, usual_spans = (named.tokens or "text", "data.text"), (named.tags,) if named.tags else SPAN_COLUMNS
    texts = (name for name in usual_texts if isinstance(_cell(values, name), str))
    spans = (name for name in usual_spans if as_spans(values.get(name)) is not None)
    text, found = next(texts, ""), next(spans, "")
    return {"tokens": text, "tags": found} if text and found else {}


def _cell(values: Mapping[str, object], name: str) -> object:
    """The cell of a column or path."""
    head, _, rest = name.partition(".")
    inner = values.get(head)
    return values.get(name, inner.get(rest) if rest and isinstance(inner, Mapping) else None)


def _with_words(row: Row, roles: Mapping[str, str]) -> Row | Bad:
    """The row with words and tags in place of text and spans; other rows unchanged."""
    text, spans = _cell(row.values, roles["tokens"]), as_spans(row.values.get(roles["tags"]))
    if not isinstance(text, str) or spans is None or as_list(text) is not None:
        return row
    found = words_and_tags(text, spans)
    if isinstance(found, str):
        return Bad(row.place, "a span can't be tags of words", found)
    words, tags = found
    return replace(row, values={**row.values, roles["tokens"]: words, roles["tags"]: tags})


def _is_word(cell: object) -> bool:
    return isinstance(cell, str) and bool(cell.strip()) and len(cell.split()) == 1 and not why_no_list(cell)


def check_clear(cell: object, option: str = "") -> None:
    """Raise `ColumnMissing` for a column with an unclear name; `option` is its command-line option."""
    if isinstance(cell, UnclearColumn):
        where, field = cell.file, f'write  data.columns: {{{cell.role}: "{cell.example}"}}, or another column'
        hint = f"{option} {cell.role}={cell.example}, or another column" if option else field
        raise ColumnMissing(Problem(f"which column holds the {cell.role} is not clear: {cell.reason}", where, hint))


def cell_words(row: Row, column: str, clean: Clean) -> tuple[str, ...] | Bad:
    """The cleaned words of one cell, or the reason it is invalid; words that cleaning empties stay empty."""
    cell = row.values.get(column)
    items = as_list(cell)
    if items is None and _is_word(cell):
        return Bad(row.place, f"{column} is a single word", shown(cell))
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
