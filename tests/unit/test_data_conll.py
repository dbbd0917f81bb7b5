"""CoNLL files: sentences, comments, what is passed over, and lines that don't fit."""

from collections.abc import Callable
from pathlib import Path

import pytest

from finetune_api.data import DataFormat
from finetune_trainer.data.reading.conll_rows import read_conll
from finetune_trainer.data.reading.files import DataFile, known_format
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


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("gap", ["\t", " ", "   "])
def test_sentences(gap: str, end: str, read: Read) -> None:
    lines = [f"New{gap}B-loc", f"York{gap}I-loc", "", "", f"is{gap}O"]
    first, second = read(end.join(lines))
    assert isinstance(first, Row)
    assert isinstance(second, Row)
    assert first.values == {"tokens": ["New", "York"], "tags": ["B-loc", "I-loc"]}
    assert (first.place.line, second.place.line, second.values["tokens"]) == (1, 5, ["is"])


def test_the_last_column_is_the_tag(read: Read) -> None:
    content = "-DOCSTART- -X- -X- O\n\nGermany NNP B-NP B-LOC\nwins VBZ B-VP O\n"
    assert only(read(content)).values == {"tokens": ["Germany", "wins"], "tags": ["B-LOC", "O"]}


def test_words_with_spaces_where_tabs_separate(read: Read) -> None:
    assert only(read("New York\tB-loc\n")).values["tokens"] == ["New York"]


@pytest.mark.parametrize("comment", ["# sent_id = 4", "# id\tmore\tthan two", "#"])
def test_comments_are_passed_over(comment: str, read: Read) -> None:
    assert only(read(f"{comment}\na\tO\n")).values["tokens"] == ["a"]


def test_words_that_begin_with_a_hash_are_words(read: Read) -> None:
    assert only(read("#metoo\tO\nis\tO\n#\tO\n")).values["tokens"] == ["#metoo", "is", "#"]


def test_words_alone(read: Read) -> None:
    assert only(read("We\nmet\nAnn\n")).values == {"tokens": ["We", "met", "Ann"]}


def test_a_line_that_does_not_fit_is_told_with_its_number(read: Read) -> None:
    fine, bad, after = read("a O\n\nb O\nc\n\nd O\n")
    assert isinstance(fine, Row)
    assert isinstance(after, Row)
    assert isinstance(bad, Bad)
    assert (bad.place.line, bad.reason) == (4, "wrong number of columns: 'c' has 1 where the first line has 2")


@pytest.mark.parametrize("content", ["", "\n\n", "-DOCSTART- O\n\n", "# nothing\n"])
def test_no_sentence(content: str, read: Read) -> None:
    assert read(content) == []


@pytest.mark.parametrize("name", ["x.conll", "x.bio", "X.IOB2", "x.conll.gz"])
def test_known_by_their_endings(name: str) -> None:
    assert known_format(name) is DataFormat.CONLL
