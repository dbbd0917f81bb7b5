import csv
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_api.data import DataFormat
from finetune_api.failures import DataUnreadable
from finetune_trainer.data.reading.csv_rows import find_delimiter, read_csv
from finetune_trainer.data.reading.files import DataFile
from finetune_trainer.data.reading.rows import Bad, Row


def rows_of(path: Path, content: bytes | str, delimiter: str = "") -> Iterator[Row | Bad]:
    file = path / "rows.csv"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_csv(DataFile(file, "rows.csv", DataFormat.CSV, delimiter=delimiter))


def test_rows_know_the_line_they_start_at(tmp_path: Path) -> None:
    rows = list(rows_of(tmp_path, 'text,label\n"two\nlines",a\n\nplain,b\r\n"""quoted"" and, comma",c\n'))
    assert [(row.place.line, row.values) for row in rows if isinstance(row, Row)] == [
        (2, {"text": "two\nlines", "label": "a"}),
        (5, {"text": "plain", "label": "b"}),
        (6, {"text": '"quoted" and, comma', "label": "c"}),
    ]


@pytest.mark.parametrize(
    ("header", "delimiter"),
    [("text,label", ","), ("text;label", ";"), ("text\tlabel", "\t"), ("text|label", "|"), ('"a, b";"c, d";e', ";")],
)
def test_the_delimiter_is_found_from_the_header(header: str, delimiter: str) -> None:
    assert find_delimiter(header + "\n") == delimiter


@pytest.mark.parametrize("sign", [",", ";", "\t"])
def test_a_line_break_in_a_name_of_the_header(tmp_path: Path, sign: str) -> None:
    rows = list(rows_of(tmp_path, f'"text\n(en)"{sign}"label"\nhello{sign}a\n"bye, now"{sign}b\n'))
    assert [row.values for row in rows if isinstance(row, Row)] == [
        {"text\n(en)": "hello", "label": "a"},
        {"text\n(en)": "bye, now", "label": "b"},
    ]


def test_a_single_column_may_hold_any_separator(tmp_path: Path) -> None:
    rows = list(rows_of(tmp_path, "text\nfirst, second; third\n"))
    assert [row.values for row in rows if isinstance(row, Row)] == [{"text": "first, second; third"}]


def test_a_given_delimiter_wins(tmp_path: Path) -> None:
    (row,) = rows_of(tmp_path, "a,b;c\n1,2;3\n", delimiter=";")
    assert isinstance(row, Row)
    assert row.values == {"a,b": "1,2", "c": "3"}


def test_the_separator_line_of_spreadsheets_is_no_header(tmp_path: Path) -> None:
    (row,) = rows_of(tmp_path, "sep=;\ntext;label\nhello;a\n")
    assert isinstance(row, Row)
    assert (row.place.line, row.values) == (3, {"text": "hello", "label": "a"})


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("only one", "wrong number of fields: 1 where the header has 2"),
        ('"all of it,a"', "the whole row is in quotes: 'all of it,a'"),
        ("--- , :---:", "a ruler, no row: '--- '"),
        ("----+----", "a ruler, no row: '----+----'"),
        ("one,two,three", "wrong number of fields: 3 where the header has 2"),
        (" ,", "empty row"),
        ('"bad" quotes,a', "broken quotes"),
    ],
)
def test_a_broken_row_is_left_out_and_named(tmp_path: Path, line: str, reason: str) -> None:
    before, bad, after = rows_of(tmp_path, f'text,label\n"fine, it is",a\n{line}\nfine,b\n')
    assert isinstance(bad, Bad)
    assert bad.place.line == 3
    assert bad.reason.startswith(reason)
    assert isinstance(before, Row)
    assert isinstance(after, Row)


def test_dashes_in_one_field_are_a_row(tmp_path: Path) -> None:
    (row,) = rows_of(tmp_path, "text,label\n---,a\n")
    assert isinstance(row, Row)
    assert row.values == {"text": "---", "label": "a"}


def test_empty_fields_beyond_the_header_are_ignored(tmp_path: Path) -> None:
    (row,) = rows_of(tmp_path, "text,label\nfine,a,,\n")
    assert isinstance(row, Row)


@pytest.mark.causes("DataUnreadable")
def test_a_quote_that_swallows_the_rest_of_the_file_is_fatal(tmp_path: Path) -> None:
    with pytest.raises(DataUnreadable, match=r"rows\.csv:3: a quote .* never closed .* line 5"):
        list(rows_of(tmp_path, 'text,label\n"fine, it is",a\n"open,a\nlost,b\nlost,c\n'))


def test_a_quote_left_open_in_the_last_row_costs_that_row_only(tmp_path: Path) -> None:
    fine, bad = rows_of(tmp_path, 'text,label\n"fine, it is",a\n"open,a')
    assert isinstance(fine, Row)
    assert isinstance(bad, Bad)


def test_a_header_that_names_a_column_twice(tmp_path: Path) -> None:
    with pytest.raises(DataUnreadable, match=r"rows\.csv:1: the header names column 'text' twice"):
        list(rows_of(tmp_path, "text,text\na,b\n"))


def test_json_under_a_csv_name(tmp_path: Path) -> None:
    with pytest.raises(DataUnreadable, match="looks like JSON"):
        list(rows_of(tmp_path, '{"text": "a", "label": "b"}\n'))


def test_a_field_far_beyond_the_standard_limit(tmp_path: Path) -> None:
    (row,) = rows_of(tmp_path, 'text,label\n"' + "word " * 200_000 + '",a\n')
    assert isinstance(row, Row)
    assert len(str(row.values["text"])) == 1_000_000


@pytest.mark.parametrize("content", ["", "\n", " \n\n", "text,label\n", "\ufefftext,label"])
def test_files_without_rows(tmp_path: Path, content: str) -> None:
    assert list(rows_of(tmp_path, content)) == []


cells = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda text: text.strip())


@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=8), st.sampled_from(",;\t|"))
def test_any_text_survives_a_round_trip(
    tmp_path_factory: pytest.TempPathFactory, table: list[tuple[str, str]], delimiter: str
) -> None:
    written = StringIO()
    csv.writer(written, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows([("text", "label"), *table])
    path = tmp_path_factory.mktemp("csv")
    read = list(rows_of(path, written.getvalue().encode()))
    assert [(row.values["text"], row.values["label"]) for row in read if isinstance(row, Row)] == table
    lines = written.getvalue().replace("\r\n", "\n").replace("\r", "\n").split("\n")
    assert all(lines[row.place.line - 1].startswith('"') for row in read)
