"""CoNLL files: sentences, comments, what is passed over, and lines that don't fit."""

from collections.abc import Callable
from pathlib import Path

import pytest

from finetune_api.data import DataFormat
from finetune_api.file_formats import known_format
from finetune_trainer.data.reading.conll_rows import read_conll
from finetune_trainer.data.reading.files import DataFile
from finetune_trainer.data.reading.rows import Bad, Row

Read = Callable[[str], list[Row | Bad]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """A function that writes a file and reads its rows."""

    def rows(content: str) -> list[Row | Bad]:
        (tmp_path / "x.conll").write_bytes(content.encode())
        return list(read_conll(DataFile(tmp_path / "x.conll", "x.conll", DataFormat.CONLL)))

    return rows


def only(rows: list[Row | Bad]) -> Row:
    (row,) = rows
    assert isinstance(row, Row)
    return row


def read_as(row: Row) -> dict[str, object]:
    """The words of a row and their tags, where it has some."""
    return {role: row.values[role] for role in ("tokens", "tags") if role in row.values}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("gap", ["\t", " ", "   "])
def test_sentences(gap: str, end: str, read: Read) -> None:
    lines = [f"New{gap}B-loc", f"York{gap}I-loc", "", "", f"is{gap}O"]
    first, second = read(end.join(lines))
    assert isinstance(first, Row)
    assert isinstance(second, Row)
    assert read_as(first) == {"tokens": ["New", "York"], "tags": ["B-loc", "I-loc"]}
    assert (first.place.line, second.place.line, second.values["tokens"]) == (1, 5, ["is"])


def test_the_last_column_is_the_tag(read: Read) -> None:
    content = "-DOCSTART- -X- -X- O\n\nGermany NNP B-NP B-LOC\nwins VBZ B-VP O\n"
    assert read_as(only(read(content))) == {"tokens": ["Germany", "wins"], "tags": ["B-LOC", "O"]}


def test_words_with_spaces_where_tabs_separate(read: Read) -> None:
    assert only(read("New York\tB-loc\n")).values["tokens"] == ["New York"]


@pytest.mark.parametrize("comment", ["# sent_id = 4", "# id\tmore\tthan two", "#"])
def test_comments_are_passed_over(comment: str, read: Read) -> None:
    assert only(read(f"{comment}\na\tO\n")).values["tokens"] == ["a"]


def test_words_that_begin_with_a_hash_are_words(read: Read) -> None:
    assert only(read("#metoo\tO\nis\tO\n#\tO\n")).values["tokens"] == ["#metoo", "is", "#"]


def test_words_alone(read: Read) -> None:
    assert read_as(only(read("We\nmet\nAnn\n"))) == {"tokens": ["We", "met", "Ann"]}


def test_a_line_that_does_not_fit_is_told_with_its_number(read: Read) -> None:
    fine, bad, after = read("a O\n\nb O\nc\n\nd O\n")
    assert isinstance(fine, Row)
    assert isinstance(after, Row)
    assert isinstance(bad, Bad)
    assert (bad.place.line, bad.reason) == (4, "wrong number of columns: 'c' has 1 where most lines have 2")


@pytest.mark.parametrize("content", ["", "\n\n", "-DOCSTART- O\n\n", "# nothing\n"])
def test_no_sentence(content: str, read: Read) -> None:
    assert read(content) == []


@pytest.mark.parametrize("name", ["x.conll", "x.bio", "X.IOB2", "x.conll.gz", "x.conllu", "x.char.bmes"])
def test_known_by_their_endings(name: str) -> None:
    assert known_format(name) is DataFormat.CONLL


@pytest.mark.parametrize("space", ["\u00a0", "\u3000", "\u2009", "\u0085", "\u202f"])
@pytest.mark.parametrize("gap", ["\t", " "])
def test_white_space_of_unicode_belongs_to_words(space: str, gap: str, read: Read) -> None:
    content = f"pour{gap}O\n10{space}000{gap}B-NUM\n{space}{gap}O\n"
    assert read_as(only(read(content))) == {"tokens": ["pour", f"10{space}000", space], "tags": ["O", "B-NUM", "O"]}


def test_invisible_characters_are_shown(read: Read) -> None:
    _, bad = read("a O\nb O\n\nc\u00a0d e O\n")
    assert isinstance(bad, Bad)
    assert bad.detail.startswith(r"'c\xa0d e O' has 3")


@pytest.mark.parametrize(
    ("comment", "line"),
    [
        ("# id 62-aa\tdomain=en", "Red _ _ B-GRP"),
        ("# newdoc", "Red B-GRP"),
        ("# newdoc", "Red NOUN"),
        ("# text = Red", "Red\tx\ty\tB-GRP"),
        ("#begin document (a/b); part 000", "Red a b c NOUN"),
    ],
)
def test_comments_with_as_many_pieces_as_words(comment: str, line: str, read: Read) -> None:
    other = line.replace("Red", "is").replace("B-GRP", "O")
    rows = read(f"{comment}\n{line}\n{other}\n\n" * 3)
    assert [read_as(row)["tokens"] for row in rows if isinstance(row, Row)] == [["Red", "is"]] * 3
    assert len(rows) == 3


@pytest.mark.parametrize("tag", ["O", "B-x", "NOUN"])
def test_a_hash_with_a_tag_of_the_others_is_a_word_anywhere(tag: str, read: Read) -> None:
    first, second = read(f"# {tag}\none {tag}\n\none {tag}\n# {tag}\n")
    assert isinstance(first, Row)
    assert isinstance(second, Row)
    assert (first.values["tokens"], second.values["tokens"]) == (["#", "one"], ["one", "#"])


def test_a_hash_within_a_sentence_is_never_lost(read: Read) -> None:
    """A tag that no other word has is for the reader of tags to judge; a missing one is a bad line."""
    wrong, missing = read("one O\n# 0\n\none O\n#\ntwo O\n")
    assert isinstance(wrong, Row)
    assert wrong.values["tags"] == ["O", "0"]
    assert isinstance(missing, Bad)
    assert (missing.place.line, missing.kind) == (5, "wrong number of columns")


@pytest.mark.parametrize(
    ("first", "second", "names"),
    [
        ("-DOCSTART- O", "-DOCSTART- O", ["x.conll:1", "x.conll:1", "x.conll:8"]),
        ("# newdoc id = news-1", "# newdoc id = news-2", ["news-1", "news-1", "news-2"]),
        ("#begin document (a/b); part 000", "#begin document (a/c); part 000", None),
    ],
)
def test_documents(first: str, second: str, names: list[str] | None, read: Read) -> None:
    rows = read(f"{first}\n\na O\nb O\n\nc O\n\n{second}\nd O\n")
    found = [row.values["document"] for row in rows if isinstance(row, Row)]
    assert found == (names or ["(a/b); part 000", "(a/b); part 000", "(a/c); part 000"])


def test_no_documents(read: Read) -> None:
    assert "document" not in only(read("a O\n")).values
