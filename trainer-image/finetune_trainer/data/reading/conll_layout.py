"""Layout detection of CoNLL files: separator, and columns of words and tags. Pure.

The first column is the word and the last the tag, unless the columns say otherwise: a first column that counts the
words of each sentence (CoNLL-U, GermEval), a first column of tags (MIT), a last column that is blank.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice

from finetune_trainer.data.reading.rows import UnclearColumn, shown
from finetune_trainer.data.tag_schemes import OUTSIDE, AmbiguousTags, find_scheme

COMMENT = "#"
_SENTENCES = 500
_MOST_TAGS = 2_000
_MOSTLY = 0.9
_BLANK = {"", "_", "-", "*"}
_CONLL_U = ("ID", "FORM", "LEMMA", "UPOS", "XPOS", "FEATS", "HEAD", "DEPREL", "DEPS", "MISC")
_GLOBAL_COLUMNS = re.compile(r"#\s*global\.columns\s*=\s*(.+)")
_DOCUMENT = re.compile(r"-DOCSTART-.*|#\s*newdoc(?:\s+id\s*=\s*(?P<id>.+))?|#begin document\s*(?P<name>.*)")
_RANGE = re.compile(r"[0-9]+[-.][0-9]+")
_SPACES = re.compile(r"[ \t]+")

Sentence = list[list[str]]
"""The lines of a sentence, each as its columns."""


@dataclass(frozen=True)
class Layout:
    """Separator, word column and tag column of a file; columns are counted from 0."""

    by_tabs: bool
    """Whether tabs alone separate columns, rather than spaces and tabs."""
    columns: int
    """Columns of most lines; 0 in a file without a word."""
    names: Mapping[str, int] = field(default_factory=dict)
    """Columns by number from 1, and by name where the file or its format names them."""
    tokens: int | UnclearColumn = 0
    """Which holds the words."""
    tags: int | UnclearColumn | None = None
    """Which holds the tags; None where lines hold a word only."""
    is_numbered: bool = False
    """Whether the first counts the words of each sentence."""
    last_values: frozenset[str] = frozenset()
    """Values of the last column; empty where there are too many for tags."""
    has_documents: bool = False
    """Whether lines say where a document begins."""

    def split(self, line: str) -> list[str]:
        """The columns of a line."""
        cells = split_columns(line, by_tabs=self.by_tabs)
        while len(cells) > self.columns and not cells[-1].strip():
            cells.pop()
        return cells

    def is_comment(self, cells: Sequence[str], *, opens_sentence: bool) -> bool:
        """Whether a line that begins with `#` is a comment, rather than a word: comments open a sentence.

        A word has as many columns as the others, and before the first word of a sentence also a tag that others have.
        """
        if len(cells) != self.columns:
            return opens_sentence or len(cells) > 1
        return opens_sentence and self.columns > 1 and bool(self.last_values) and cells[-1] not in self.last_values


def split_columns(line: str, *, by_tabs: bool) -> list[str]:
    """Split at spaces and tabs alone: other white space, such as U+00A0, belongs to words."""
    return line.strip("\r\n").split("\t") if by_tabs else _SPACES.split(line.strip(" \t\r\n"))


def document_of(line: str) -> str | None:
    """Name of the document that begins with this line, empty where it has none; None for all other lines."""
    found = _DOCUMENT.fullmatch(line.strip())
    return None if found is None else (found["id"] or found["name"] or "").strip()


def find_layout(lines: Iterable[str], file: str) -> Layout:
    """The layout of a file from all its lines; `file` is its name for messages."""
    survey = _Survey()
    found = _sentences(lines, survey)
    sentences = list(islice(found, _SENTENCES))
    by_tabs = survey.with_tab * 2 >= sum(map(len, sentences)) > 0
    rows = [[split_columns(line, by_tabs=by_tabs) for line in sentence] for sentence in sentences]
    columns = _most_common([len(cells) for sentence in rows for cells in sentence])
    values = {cells[-1] for sentence in rows for cells in sentence}
    for sentence in found:
        if len(values) <= _MOST_TAGS:
            values.update(split_columns(line, by_tabs=by_tabs)[-1] for line in sentence)
    whole = [[cells for cells in sentence if len(cells) == columns] for sentence in rows]
    held = _Columns([sentence for sentence in whole if sentence], columns, survey.names, file)
    return Layout(
        by_tabs=by_tabs,
        columns=columns,
        names={**{str(at + 1): at for at in range(columns)}, **{name: at for at, name in enumerate(held.names)}},
        tokens=held.tokens(),
        tags=held.tags(),
        is_numbered=held.is_numbered,
        last_values=frozenset(values) if len(values) <= _MOST_TAGS else frozenset(),
        has_documents=survey.has_documents,
    )


@dataclass
class _Survey:
    """Statistics of one pass over a file."""

    names: tuple[str, ...] = ()
    has_documents: bool = False
    with_tab: int = 0


def _sentences(lines: Iterable[str], survey: _Survey) -> Iterator[list[str]]:
    """Word lines of each sentence; ambiguous lines are left out."""
    for has_words, block in groupby(lines, key=lambda line: bool(line.strip())):
        if not has_words:
            continue
        words = []
        for line in block:
            found = _GLOBAL_COLUMNS.fullmatch(line.strip())
            survey.names = tuple(found[1].split()) if found else survey.names
            if document_of(line) is not None:
                survey.has_documents = True
            elif not line.startswith(COMMENT):
                words.append(line)
                survey.with_tab += "\t" in line.strip("\r\n")
        if words:
            yield words


def _most_common(counts: Sequence[int]) -> int:
    found = Counter(counts)
    return max(found, key=lambda count: (found[count], count), default=0)


class _Columns:
    """Column contents of some sentences."""

    def __init__(self, sentences: list[Sentence], columns: int, names: tuple[str, ...], file: str) -> None:
        self._sentences, self._columns, self._file = sentences, columns, file
        self._values = [[cells[at] for sentence in sentences for cells in sentence] for at in range(columns)]
        self.is_numbered = columns > 1 and _mostly(sentences, _counts)
        is_conll_u = self.is_numbered and columns == len(_CONLL_U) and not names
        self.names = _CONLL_U if is_conll_u else names if len(names) == columns else ()
        self._is_constant = columns > 2 and _mostly([s for s in sentences if len(s) > 1], _is_constant)
        self._has_tags = [_has_tags(values) for values in self._values]

    def tokens(self) -> int | UnclearColumn:
        """The column of words."""
        if "FORM" in self.names:
            return self.names.index("FORM")
        if self.is_numbered:
            return 1
        if self._is_constant:
            what = f"its first column is {shown(self._values[0][0])} throughout a sentence"
            return UnclearColumn("tokens", self._file, what, str(self._most_varied() + 1))
        return 1 if self._columns > 1 and self._has_tags[0] and not self._has_tags[1] else 0

    def tags(self) -> int | UnclearColumn | None:
        """The column of tags."""
        tokens = self.tokens()
        if isinstance(tokens, UnclearColumn):
            return UnclearColumn("tags", self._file, tokens.reason, self._name(self._columns - 1))
        others = [at for at in range(self._columns) if at > tokens and not set(self._values[at]) <= _BLANK]
        if tokens == 1 and not self.is_numbered and "FORM" not in self.names:
            return 0
        if not others:
            return None if self._columns <= tokens + 1 else self._blank(tokens)
        tagged = [at for at in others if self._has_tags[at]]
        is_usual = not self.is_numbered and not self.names and others[-1] == self._columns - 1
        if is_usual or len(others) == 1:
            return others[-1]
        if len(tagged) == 1:
            return tagged[0]
        return self._several(tagged or others)

    def _blank(self, tokens: int) -> UnclearColumn:
        what = f"its last column is {shown(self._values[-1][0])} for every word"
        return UnclearColumn("tags", self._file, what, self._name(min(tokens + 1, self._columns - 1)))

    def _several(self, columns: list[int]) -> UnclearColumn:
        held = ", ".join(f"{self._name(at)} ({_examples(self._values[at])})" for at in columns[:6])
        example = "UPOS" if "UPOS" in self.names else self._name(columns[0])
        return UnclearColumn("tags", self._file, f"it may be one of {held}", example)

    def _name(self, column: int) -> str:
        return self.names[column] if self.names else str(column + 1)

    def _most_varied(self) -> int:
        return max(range(self._columns), key=lambda at: len({v for v in self._values[at] if not v.isdigit()}))


def _mostly(sentences: list[Sentence], holds: Callable[[Sentence], bool]) -> bool:
    longest = max(map(len, sentences), default=0)
    return longest > 1 and sum(map(holds, sentences)) >= _MOSTLY * len(sentences)


def _counts(sentence: Sentence) -> bool:
    """Whether the first column numbers the words, from 0 or 1; ranges (`1-2`) and empty nodes (`1.1`) are ignored."""
    numbers = [cells[0] for cells in sentence if not _RANGE.fullmatch(cells[0])]
    return numbers in ([str(start + at) for at in range(len(numbers))] for start in (0, 1))


def _is_constant(sentence: Sentence) -> bool:
    return len({cells[0] for cells in sentence}) == 1


def _has_tags(values: Sequence[str]) -> bool:
    """Whether nearly all values are tags of one entity scheme."""
    counts = Counter(values)
    try:
        scheme = find_scheme(counts)
    except AmbiguousTags:
        return True
    if scheme is None:
        return False
    fits = sum(count for value, count in counts.items() if scheme.canonical(value) is not None)
    return fits >= _MOSTLY * len(values)


def _examples(values: Sequence[str]) -> str:
    usual = [value for value, _ in Counter(values).most_common() if value not in {OUTSIDE, *_BLANK}]
    return ", ".join(value[:20] for value in usual[:2]) or values[0]


def is_range(first: str) -> bool:
    """Whether a line's number is a multiword range (`1-2`) or an empty node (`1.1`), as in CoNLL-U."""
    return _RANGE.fullmatch(first) is not None
