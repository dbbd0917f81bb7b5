import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_api.data import DataFormat
from finetune_api.failures import DataUnreadable
from finetune_trainer.data.reading.files import DataFile
from finetune_trainer.data.reading.json_rows import read_json, read_jsonl
from finetune_trainer.data.reading.rows import Bad, Row


def written(path: Path, content: str, name: str = "rows.jsonl") -> DataFile:
    (path / name).write_text(content, encoding="utf-8", newline="")
    return DataFile(path / name, name, DataFormat.JSONL)


def lines_and_values(rows: list[Row | Bad]) -> list[tuple[int, dict[str, object]]]:
    return [(row.place.line, row.values) for row in rows if isinstance(row, Row)]


def test_one_object_a_line(tmp_path: Path) -> None:
    rows = list(read_jsonl(written(tmp_path, '{"text": "a"}\r\n\n {"text": "b\\nc"}\n')))
    assert lines_and_values(rows) == [(1, {"text": "a"}), (3, {"text": "b\nc"})]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"text": "a"', "broken JSON: Expecting ',' delimiter at column"),
        ("[1, 2]", "not a JSON object: [1, 2]"),
        ('"text"', "not a JSON object"),
        ("{}", "empty row"),
        ("[" * 100_000, "broken JSON: nested too deeply"),
        ('{"label": ' + "9" * 5000 + "}", "broken JSON: a number with too many digits"),
    ],
)
def test_a_broken_line_is_left_out_and_named(tmp_path: Path, line: str, reason: str) -> None:
    first, bad, last = read_jsonl(written(tmp_path, f'{{"text": "a"}}\n{line}\n{{"text": "b"}}\n'))
    assert isinstance(bad, Bad)
    assert (bad.place.line, bad.reason[: len(reason)]) == (2, reason)
    assert isinstance(first, Row)
    assert isinstance(last, Row)


@pytest.mark.causes("DataUnreadable")
def test_a_file_that_is_not_json_lines_at_all(tmp_path: Path) -> None:
    with pytest.raises(DataUnreadable, match=r"rows\.jsonl:1: this is not JSON Lines: the line begins 'text,label'"):
        list(read_jsonl(written(tmp_path, "text,label\na,b\n")))


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        ('[{"n": 0}, {"n": 1}]', [1, 1]),
        ('[\n  {"n": 0},\n\n  {\n    "n": 1\n  }\n]\n', [2, 4]),
        ('{"version": [1], "data": [\n{"n": 0},\n{"n": 1}]}', [2, 3]),
        ('{"rows":\n[{"n": 0},\n{"n": 1}], "more": {"rows": [3]}}', [2, 3]),
        ('{"anything": [{"n": 0}, {"n": 1}]}', [1, 1]),
        ('{"n": 0}\n{"n": 1}\n', [1, 2]),
        ('[{"n": 0},\n{"n": 1}]\n[{"n": 2}]\n[]\n[\n{"n": 3}]\n', [1, 2, 3, 6]),
        ('[{"n": 0}][{"n": 1}]', [1, 1]),
    ],
)
def test_shapes_of_json_files(tmp_path: Path, content: str, lines: list[int]) -> None:
    rows = list(read_json(written(tmp_path, content, "rows.json")))
    assert lines_and_values(rows) == [(line, {"n": n}) for n, line in enumerate(lines)]


def test_an_array_under_a_jsonl_name(tmp_path: Path) -> None:
    assert lines_and_values(list(read_jsonl(written(tmp_path, '[\n{"n": 0},\n{"n": 1}\n]')))) == [
        (2, {"n": 0}),
        (3, {"n": 1}),
    ]


def test_arrays_one_behind_the_other_under_a_jsonl_name(tmp_path: Path) -> None:
    rows = list(read_jsonl(written(tmp_path, '[{"n": 0}, {"n": 1}]\n[{"n": 2}]\n')))
    assert lines_and_values(rows) == [(1, {"n": 0}), (1, {"n": 1}), (2, {"n": 2})]


def test_what_follows_an_array_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataUnreadable, match=r"rows\.json:1: broken JSON: the array ends, and 'and more' follows"):
        list(read_json(written(tmp_path, '[{"n": 0}] and more', "rows.json")))


def test_elements_that_are_no_objects(tmp_path: Path) -> None:
    (row, bad) = read_json(written(tmp_path, '[{"n": 0},\n 7]', "rows.json"))
    assert isinstance(row, Row)
    assert isinstance(bad, Bad)
    assert (bad.place.line, bad.reason) == (2, "not a JSON object: 7")


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ('[{"n": 0},\n{"n" 1}]', "rows.json:2"),
        ('[{"n": 0}\n{"n": 1}]', "rows.json:2"),
        ('[{"n": 0},\n', "rows.json:2"),
        ("hello", "rows.json:1"),
        ('[{"n": 0}]\n{"n": 1}\n', "rows.json:2"),
        ('[{"n": 0}]\n,[{"n": 1}]', "rows.json:2"),
    ],
)
def test_broken_json_files_name_the_line(tmp_path: Path, content: str, where: str) -> None:
    with pytest.raises(DataUnreadable) as caught:
        list(read_json(written(tmp_path, content, "rows.json")))
    assert caught.value.problems[0].where == where


def test_an_empty_json_file_has_no_rows(tmp_path: Path) -> None:
    assert list(read_json(written(tmp_path, " \n", "rows.json"))) == []


objects = st.lists(st.dictionaries(st.text(min_size=1), st.text() | st.integers() | st.none(), min_size=1), min_size=1)


@given(objects, st.sampled_from([None, 0, 2]))
def test_arrays_are_read_as_the_standard_library_reads_them(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, object]], indent: int | None
) -> None:
    text = json.dumps(rows, indent=indent)
    file = written(tmp_path_factory.mktemp("json"), text, "rows.json")
    read = list(read_json(file))
    assert [row.values for row in read if isinstance(row, Row)] == rows
    assert all("{" in text.split("\n")[row.place.line - 1] for row in read)
