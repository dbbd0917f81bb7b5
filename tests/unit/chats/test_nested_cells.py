"""Columns inside of columns: paths into cells, in files of several formats."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune_api.data import Clean, Data
from finetune_api.failures import ColumnMissing, TooManyBadRows
from finetune_api.tasks import Task
from finetune_trainer.data import Prepared, prepare
from finetune_trainer.data.reading.nested import with_paths
from finetune_trainer.data.reading.rows import Bad, Place, Row
from finetune_trainer.data.records import cell_text
from finetune_trainer.storage import Site

Read = Callable[..., Prepared]
WMT = [{"translation": {"en": f"hello {n}", "de": f"hallo {n}"}} for n in range(4)]
SQUAD = [
    {"question": f"what {n}?", "context": "a b c", "answers": {"text": [f"b{n}"], "answer_start": [2]}}
    for n in range(4)
]


def test_a_path_leads_into_a_cell(read: Read) -> None:
    found = read(WMT, Task.SEQ2SEQ, columns={"input": "translation.en", "target": "translation.de"})
    assert found.splits["train"].texts[0] == "hello 0"
    assert found.splits["train"].labels[0] == "hallo 0"
    assert found.report.columns == {"input": "translation.en", "target": "translation.de"}


def test_a_list_of_one_text_is_that_text(read: Read) -> None:
    columns = {"question": "question", "context": "context", "target": "answers.text"}
    assert read(SQUAD, Task.SEQ2SEQ, columns=columns).splits["train"].labels[0] == "b0"
    several = [*SQUAD, {**SQUAD[0], "answers": {"text": ["b", "c"], "answer_start": [2, 4]}}]
    with pytest.raises(TooManyBadRows, match=r"answers.text is no text") as caught:
        read(several, Task.SEQ2SEQ, columns=columns)
    assert caught.value.problems[1].where.endswith("rows.jsonl:5")
    columns = {**columns, "target": "answers.text.0"}
    assert read(several, Task.SEQ2SEQ, columns=columns).splits["train"].labels[-1] == "b"


def test_paths_name_labels_groups_and_messages_too(read: Read) -> None:
    rows = [{"meta": {"label": "a" if n % 2 else "b", "lang": "en"}, "text": f"text {n}"} for n in range(6)]
    found = read(rows, Task.SEQUENCE_CLASSIFICATION, columns={"label": "meta.label", "group": "meta.lang"})
    assert found.splits["train"].labels[:2] == ["b", "a"]
    assert found.splits["train"].groups == ["en"] * 6
    chat = {"data": {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}}
    assert read([chat] * 2, columns={"messages": "data.messages"}).splits["train"].labels[0] == "Hello"


def test_objects_in_a_table_are_json_text(tmp_path: Path) -> None:
    cells = (json.dumps(row["translation"]).replace('"', '""') for row in WMT)
    (tmp_path / "rows.csv").write_text("\n".join(["translation", *(f'"{cell}"' for cell in cells)]))
    spec = {
        "train": [{"uri": f"file://{tmp_path}/rows.csv"}],
        "split": {"validation": 0, "test": 0},
        "columns": {"input": "translation.en", "target": "translation.de"},
    }
    found = prepare(Data.model_validate(spec), site=Site(Path("/")), task=Task.SEQ2SEQ)
    assert found.splits["train"].texts[0] == "hello 0"


def test_a_column_that_is_called_so_goes_first() -> None:
    row = Row({"a.b": "own", "a": {"b": "inner", "c.d": "dotted"}}, Place(file="x", line=1))
    assert with_paths(row, ["a.b", "a.c.d", "a.x", "a.b.c"]).values == {**row.values, "a.c.d": "dotted"}


@pytest.mark.parametrize(
    ("rows", "columns", "hint"),
    [
        (WMT, {}, "write  data.columns: {input: translation.en, target: translation.de}"),
        (WMT, {"input": "translation.fr", "target": "translation.de"}, "translation.en"),
        (SQUAD, {}, "target: answers.text"),
        ([{"data": {"train": [{"a": "b"}], "test": [{"a": "b"}]}}] * 2, {}, "name them:  data.columns: {input: ..."),
        ([{"title": "Rome", **row} for row in SQUAD], {}, "target: answers.text"),
        ([{"title": "Rome", "paragraphs": [{"context": "a", "qas": []}]}] * 2, {}, "articles of SQuAD: write a row"),
        ([{"context": "a", "qas": []}], {}, "articles of SQuAD: write a row"),
    ],
)  # fmt: skip
def test_a_path_that_is_missing_is_told_with_those_that_are_there(
    read: Read, rows: list[dict[str, Any]], columns: dict[str, str], hint: str
) -> None:
    with pytest.raises(ColumnMissing) as caught:
        read(rows, Task.SEQ2SEQ, columns=columns)
    assert hint in caught.value.problems[-1].hint


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ({"id": 1, "en": "hello"}, "input is no text: {'id': 1, 'en': 'hello'} is a dict; input.en is a text in it"),
        (["hello", "bye"], "input is no text: ['hello', 'bye'] is a list; input.0 is a text in it"),
        ([1, 2], "input is no text: [1, 2] is a list"),
        ([], "input is empty"),
        (b"hello", "input is no text: b'hello' is a bytes"),
    ],
)
def test_what_is_no_text_is_told_with_the_path_to_one(cell: object, reason: str) -> None:
    found = cell_text(Row({"input": cell}, Place(file="x", line=1)), "input", Clean())
    assert isinstance(found, Bad)
    assert found.reason == reason
