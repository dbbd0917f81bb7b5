"""Quotes in CSV and TSV files: enclosing fields, or characters of the text."""

import csv
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_api.data import DataFormat, Quoting
from finetune_api.failures import DataUnreadable
from finetune_trainer.data.reading.csv_quoting import find_quoting
from finetune_trainer.data.reading.csv_records import lines_as_records, records
from finetune_trainer.data.reading.csv_rows import read_csv
from finetune_trainer.data.reading.files import DataFile
from finetune_trainer.data.reading.rows import Bad, Row

TALES = [
    ("tide", 'the tide came in and she said "wait'),
    ("rain", '"Rain again, said the ferryman'),
    ("tide", '"low water at noon"'),
    ("rain", 'it was 5" of rain by night'),
    ("tide", 'nobody knew the word "neap'),
    ("rain", "clouds, but no wind"),
    ("tide", '"spring" tides are higher'),
    ("rain", "it drips"),
]


def rows_of(path: Path, content: str, quoting: Quoting = Quoting.AUTO, delimiter: str = "") -> Iterator[Row | Bad]:
    file = path / "rows.csv"
    file.write_text(content, encoding="utf-8", newline="")
    return read_csv(DataFile(file, "rows.csv", DataFormat.CSV, delimiter=delimiter, quoting=quoting))


def values(rows: Iterator[Row | Bad]) -> list[tuple[int, list[object]]]:
    return [(row.place.line, list(row.values.values()) if isinstance(row, Row) else [row.reason]) for row in rows]


def plain(rows: list[tuple[str, str]], delimiter: str, end: str = "\n") -> str:
    return "".join(delimiter.join(row) + end for row in [("topic", "text"), *rows])


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("delimiter", ["\t", "|", ";"])
def test_quotes_are_characters_where_every_line_is_a_row(tmp_path: Path, delimiter: str, end: str) -> None:
    rows = values(rows_of(tmp_path, plain(TALES, delimiter, end)))
    assert rows == [(line, list(row)) for line, row in enumerate(TALES, start=2)]


def test_one_column_of_text_with_quotes(tmp_path: Path) -> None:
    texts = [text for _, text in TALES if not text.startswith('"low')]
    rows = values(rows_of(tmp_path, "text\n" + "".join(f"{text}\n" for text in texts)))
    assert [cells for _, cells in rows] == [[text] for text in texts]


def test_a_quote_that_merges_rows_is_refused_where_neither_reading_is_clear(tmp_path: Path) -> None:
    content = plain([*TALES[5:6] * 4, ("rain", '"so it began'), *TALES[7:], ("tide", 'and so it ended"')], "\t")
    content += "rain\tno\ttable\n"
    with pytest.raises(DataUnreadable, match="the quote opened in line 6 closes in line 8, and 3 lines") as caught:
        list(rows_of(tmp_path, content))
    (problem,) = caught.value.problems
    assert problem.where == "rows.csv:6"
    assert "set spec.data.train[0].quoting: None" in problem.hint
    assert values(rows_of(tmp_path, content, Quoting.NONE))[4] == (6, ["rain", '"so it began'])
    merged = values(rows_of(tmp_path, content, Quoting.DOUBLE_QUOTE))[4]
    assert merged == (6, ["rain", "so it began\nrain\tit drips\ntide\tand so it ended"])


def test_known_classes_tell_rows_from_a_text_of_several_lines(tmp_path: Path) -> None:
    head = "text,topic\n" + "it rains,rain\nlow water,tide\n" * 5
    merged = head + '"it began,rain\nand went on,tide\nand ended",rain\n"a, b",tide\n'
    with pytest.raises(DataUnreadable, match=r"rows\.csv:12: the quote opened in line 12 closes in line 14"):
        list(rows_of(tmp_path, merged))
    letter = head + '"Dear all, greetings\nfrom the coast, where\nit rains, as ever",rain\n"a, b",tide\n'
    assert values(rows_of(tmp_path, letter))[10:] == [
        (12, ["Dear all, greetings\nfrom the coast, where\nit rains, as ever", "rain"]),
        (15, ["a, b", "tide"]),
    ]


def test_a_broken_quote_costs_its_own_line_only(tmp_path: Path) -> None:
    content = 'text,topic\n"a, b",rain\n"open,rain\nfine,tide\nalso "fine" here,rain\n"shut" badly,tide\nlast,rain\n'
    rows = values(rows_of(tmp_path, content))
    assert [line for line, _ in rows] == [2, 3, 4, 5, 6, 7]
    assert [cells[0] for _, cells in rows if len(cells) == 2] == ["a, b", "fine", 'also "fine" here', "last"]


def test_escapes_of_spark_and_mysql(tmp_path: Path) -> None:
    content = 'text,topic\n"she said \\"no, never\\"",rain\nC:\\temp,tide\n"a, b",rain\n'
    assert values(rows_of(tmp_path, content)) == [
        (2, ['she said "no, never"', "rain"]),
        (3, ["C:\\temp", "tide"]),
        (4, ["a, b", "rain"]),
    ]


def test_single_quotes_around_fields(tmp_path: Path) -> None:
    content = "'text';'topic'\n'it''s wet; very';'rain'\n'two\nlines';'tide'\n"
    assert values(rows_of(tmp_path, content)) == [(2, ["it's wet; very", "rain"]), (3, ["two\nlines", "tide"])]


def test_apostrophes_in_an_ordinary_file_are_no_quotes(tmp_path: Path) -> None:
    assert values(rows_of(tmp_path, "text,topic\n'twas wet,'rain'\n")) == [(2, ["'twas wet", "'rain'"])]


@pytest.mark.parametrize("style", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
@given(
    st.lists(
        st.tuples(st.text(st.sampled_from('ab ",\n\t;'), min_size=1), st.sampled_from(["rain", "tide"])),
        min_size=1,
        max_size=12,
    )
)
def test_what_a_writer_of_csv_quotes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, style: int, table: list[tuple[str, str]]
) -> None:
    written = StringIO()
    csv.writer(written, quoting=style).writerows([("text", "topic"), *table])  # type: ignore[arg-type]
    read = list(rows_of(tmp_path_factory.mktemp("csv"), written.getvalue()))
    assert [tuple(row.values.values()) for row in read if isinstance(row, Row)] == table


@given(st.lists(st.text(st.sampled_from('ab ",\t'), max_size=6), min_size=1, max_size=8), st.booleans())
def test_a_file_is_clear_where_each_line_is_a_record_by_itself(lines: list[str], spaced: bool) -> None:
    def opened() -> AbstractContextManager[list[str]]:
        return nullcontext([f"{line}\n" for line in lines])

    found = find_quoting(opened, ",", spaced=spaced)
    try:
        alone = [next(csv.reader([f"{line}\n"], strict=True, skipinitialspace=spaced)) for line in lines]
        alone = [cells for cells in alone if all("\n" not in cell for cell in cells)]
    except csv.Error:
        alone = []
    assert found.is_clear == (len(alone) == len(lines))
    if found.is_clear:
        read = [record.cells for record in lines_as_records(opened().__enter__(), ",", spaced=spaced)]
        assert read == [cells for cells in alone if cells]
        assert read == [record.cells for record in records(opened().__enter__(), ",", found.quoting, spaced=spaced)]


def test_a_repeated_header_is_an_invalid_example(tmp_path: Path) -> None:
    rows = values(rows_of(tmp_path, "text,topic\nwet,rain\n\ufefftext , topic\nlow,tide\ntext,rain\n"))
    assert rows == [
        (2, ["wet", "rain"]),
        (3, ["the header again: files put one behind the other keep one header line"]),
        (4, ["low", "tide"]),
        (5, ["text", "rain"]),
    ]


def test_a_second_header_in_another_order_would_swap_the_columns(tmp_path: Path) -> None:
    with pytest.raises(DataUnreadable, match=r"rows\.csv:3: a header with the columns in another order"):
        list(rows_of(tmp_path, "text,topic\nwet,rain\ntopic,text\ntide,low\n"))


def test_spaces_after_the_delimiter_are_no_part_of_the_cells(tmp_path: Path) -> None:
    content = 'topic, text\nrain, "wet, as ever"\ntide, low\nrain,"no space"\n'
    assert [cells for _, cells in values(rows_of(tmp_path, content))] == [
        ["rain", "wet, as ever"],
        ["tide", "low"],
        ["rain", "no space"],
    ]
    assert values(rows_of(tmp_path, "topic,text\nrain, wet\n")) == [(2, ["rain", " wet"])]


def test_a_second_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    (row,) = rows_of(tmp_path, "\ufeff\ufefftext,topic\nwet,rain\n")
    assert isinstance(row, Row)
    assert list(row.values) == ["text", "topic"]


def test_rows_to_predict_have_no_setting_to_name(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text('text,topic\n"a, b",rain\n"open,rain\nlost,tide\n')
    for field, has in (("", False), ("spec.predict", False), ("spec.data.test[0]", True)):
        with pytest.raises(DataUnreadable, match="never closed") as caught:
            list(read_csv(DataFile(tmp_path / "rows.csv", "rows.csv", DataFormat.CSV, field=field)))
        assert ("quoting: None" in caught.value.problems[0].hint) == has
