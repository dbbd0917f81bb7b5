"""JSON files that hold a table as a whole, and names that an object has twice."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from finetune_api.data import DataFormat
from finetune_api.failures import DataUnreadable
from finetune_trainer.data.reading.files import DataFile
from finetune_trainer.data.reading.json_rows import read_json, read_jsonl
from finetune_trainer.data.reading.rows import Bad, Row

SHIPS = pd.DataFrame({"text": ["a brig", "two sloops", "the ketch"], "label": ["b", "s", "k"], "masts": [2, 1, 2]})
ROWS: list[dict[str, object]] = SHIPS.to_dict("records")


def written(path: Path, content: str, name: str = "ships.json") -> DataFile:
    (path / name).write_text(content, encoding="utf-8")
    return DataFile(path / name, name, DataFormat.JSON)


def values(file: DataFile, *, lines: bool = False) -> list[dict[str, object]]:
    rows = list((read_jsonl if lines else read_json)(file))
    assert all(isinstance(row, Row) for row in rows), rows
    return [row.values for row in rows if isinstance(row, Row)]  # noqa: PD011 -- no table of pandas


@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize("orient", ["columns", "index", "split", "records"])
@pytest.mark.parametrize("index", [None, ["x", "y", "z"]])
def test_layouts_of_pandas(tmp_path: Path, orient: Any, index: list[str] | None, lines: bool) -> None:
    table = SHIPS if index is None else SHIPS.set_axis(index)[["text", "label"]]
    file = written(tmp_path, table.to_json(orient=orient), "ships.jsonl" if lines else "ships.json")
    assert values(file, lines=lines) == table.to_dict("records")


def test_the_layout_table_names_its_index_too(tmp_path: Path) -> None:
    rows = values(written(tmp_path, SHIPS.to_json(orient="table")))
    assert rows == [{"index": number, **row} for number, row in enumerate(ROWS)]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("lines", [False, True])
def test_lists_by_column_and_records_by_name(tmp_path: Path, indent: int | None, lines: bool) -> None:
    by_list = written(tmp_path, json.dumps(SHIPS.to_dict("list"), indent=indent))
    assert values(by_list, lines=lines) == ROWS
    named = {"brig": ROWS[0], "sloop": ROWS[1], "ketch": {"text": "the ketch"}, "more": ROWS[0]}
    assert values(written(tmp_path, json.dumps(named, indent=indent)), lines=lines) == list(named.values())


@pytest.mark.parametrize(
    "row",
    [
        {"tokens": ["Port", "Said"], "tags": ["B", "I"]},
        {"messages": [1, 2]},
        {"text": "a", "label": ["x"]},
        {"text": {"de": "ja"}, "label": "x"},
    ],
)
def test_a_lone_object_is_a_row_though_it_holds_lists(tmp_path: Path, row: dict[str, object]) -> None:
    assert values(written(tmp_path, json.dumps(row))) == [row]
    assert values(written(tmp_path, json.dumps(row)), lines=True) == [row]


def test_rows_without_names_say_how_to_write_them(tmp_path: Path) -> None:
    for content in (SHIPS.to_json(orient="values"), json.dumps([["a", 1]], indent=1)):
        for read in (read_json, read_jsonl):
            with pytest.raises(DataUnreadable, match="rows are lists") as caught:
                list(read(written(tmp_path, content)))
            assert "orient='records'" in caught.value.problems[0].hint


def test_columns_that_differ_in_length(tmp_path: Path) -> None:
    with pytest.raises(DataUnreadable, match="columns differ in length: 'text' 2, 'label' 1"):
        list(read_json(written(tmp_path, '{"text": ["a", "b"], "label": ["x"]}')))


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(
    ("row", "name"),
    [
        ('{"text": "a", "label": "x", "label": "y"}', "'label'"),
        ('{"t\\u0065xt": "a", "text": "b"}', "'text'"),
        ('{"messages": [{"role": "user", "content": "a", "content": "b"}]}', "'content'"),
    ],
)
def test_a_key_given_twice_makes_an_invalid_example(tmp_path: Path, row: str, name: str, whole: bool) -> None:
    rows = ['{"text": "one"}', row, '{"text": "text"}']
    content = "[" + ",\n".join(rows) + "]" if whole else "\n".join(rows)
    first, bad, last = (read_json if whole else read_jsonl)(written(tmp_path, content))
    assert isinstance(bad, Bad)
    assert (bad.place.line, bad.reason) == (2, f"a key given twice: {name}")
    assert isinstance(first, Row)
    assert isinstance(last, Row)


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("between", ["", "\n", ",\n"])
@pytest.mark.parametrize("lines", [False, True])
def test_objects_one_behind_the_other(tmp_path: Path, indent: int | None, between: str, lines: bool) -> None:
    if indent is None and between == ",\n":
        return  # JSON Lines with commas at the ends of lines, each an invalid example
    content = between.join(json.dumps(row, indent=indent) for row in ROWS) + "\n"
    rows = list((read_jsonl if lines else read_json)(written(tmp_path, content)))
    assert [row.values if isinstance(row, Row) else row for row in rows] == ROWS  # noqa: PD011
    assert all("{" in content.splitlines()[row.place.line - 1] for row in rows)


def test_python_dicts_are_told_from_json(tmp_path: Path) -> None:
    for bad in read_jsonl(written(tmp_path, "{'text': 'a'}\n" * 2)):
        assert isinstance(bad, Bad)
        assert "have to be in double quotes" in bad.reason
