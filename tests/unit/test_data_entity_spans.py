"""Entities as character spans: what annotation tools export is read as words and tags, or refused by line."""

import json
from pathlib import Path
from typing import Any

import pytest

from finetune_api.data import Data
from finetune_api.failures import ColumnMissing, TooManyBadRows
from finetune_api.tasks import Task
from finetune_trainer.data.entity_spans import Span, as_spans, words_and_tags
from finetune_trainer.data.prepare import prepare
from finetune_trainer.data.prepared import Prepared
from finetune_trainer.storage import Site

TEXTS = (
    ("Zoë Kravitz, aged {n}, moved to São Tomé.", [("Zoë Kravitz", "PER"), ("São Tomé", "LOC")]),
    ("Order {n} went to Bjørn in Oslo", [("Bjørn", "PER"), ("Oslo", "LOC")]),
    ("Nothing to find in line {n} 🙂 at all", []),
    ("第{n}号文件寄往北京市", [("北京市", "LOC")]),
)
EXPECTED = (
    "B-PER I-PER O O O O O O B-LOC I-LOC O",
    "O O O O B-PER O B-LOC",
    "O O O O O O O O O",
    "O O O O O O O B-LOC I-LOC I-LOC",
)
LAYOUTS: dict[str, Any] = {
    "doccano": lambda text, spans: {"text": text, "label": [[s, e, kind] for s, e, kind in spans]},
    "doccano, labels": lambda text, spans: {"id": 7, "text": text, "labels": [[s, e, kind] for s, e, kind in spans]},
    "doccano, relations": lambda text, spans: {
        "text": text,
        "entities": [{"id": 1, "label": kind, "start_offset": s, "end_offset": e} for s, e, kind in spans],
        "relations": [],
    },
    "Prodigy": lambda text, spans: {
        "text": text,
        "tokens": [{"text": text[s:e], "start": s, "end": e, "id": at} for at, (s, e, _) in enumerate(spans)],
        "spans": [{"start": s, "end": e, "label": kind, "token_start": 0} for s, e, kind in spans],
        "answer": "accept",
    },
    "spaCy": lambda text, spans: {"text": text, "entities": [[s, e, kind] for s, e, kind in spans]},
    "Label Studio": lambda text, spans: {
        "id": 3,
        "data": {"text": text},
        "annotations": [{"result": [{"value": {"start": s, "end": e, "labels": [kind]}} for s, e, kind in spans]}],
    },
    "Label Studio, JSON-MIN": lambda text, spans: {
        "text": text,
        "label": [{"start": s, "end": e, "text": text[s:e], "labels": [kind]} for s, e, kind in spans],
    },
}


def rows(layout: str) -> list[dict[str, Any]]:
    """Ten rows of each text, with spans found by searching for the entities."""
    made = []
    for number in range(10, 20):
        for text, entities in TEXTS:
            whole = text.format(n=number)
            spans = [(whole.index(part), whole.index(part) + len(part), kind) for part, kind in entities]
            made.append(LAYOUTS[layout](whole, spans))
    return made


def read(folder: Path, content: str, name: str = "rows.jsonl", **columns: str) -> Prepared:
    (folder / name).write_text(content, encoding="utf-8")
    split = {"validation": 0, "test": 0, "nearDuplicates": "Ignore"}
    data = {"train": [{"uri": f"file://./{name}"}], "split": split, "columns": columns}
    return prepare(Data.model_validate(data), site=Site(folder), task=Task.TOKEN_CLASSIFICATION)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("is_array", [False, True], ids=["jsonl", "json"])
def test_spans_of_every_tool(layout: str, is_array: bool, tmp_path: Path) -> None:
    made = rows(layout)
    lines = json.dumps(made) if is_array else "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in made)
    inside = {"tokens": "data.text"} if layout == "Label Studio" else {}
    found = read(tmp_path, lines, "rows.json" if is_array else "rows.jsonl", **inside)
    train = found.splits["train"]
    assert len(train) == 40
    assert found.report.bad_rows == 0
    known = {" ".join(tags) for tags in train.labels if isinstance(tags, tuple)}
    assert known == set(EXPECTED)
    words = next(words for words in train.words if words and words[0] == "Zoë")
    assert words[-4:] == ("to", "São", "Tomé", ".")


def test_a_text_inside_a_cell_is_named(tmp_path: Path) -> None:
    with pytest.raises(ColumnMissing) as raised:
        read(tmp_path, "".join(json.dumps(row) + "\n" for row in rows("Label Studio")))
    assert raised.value.problems[-1].hint == "write  data.columns: {tokens: data.text}"


def test_columns_can_be_named(tmp_path: Path) -> None:
    made = [{"body": "Ann flew", "marks": [[0, 3, "PER"]], "n": n} for n in range(20)]
    found = read(tmp_path, "".join(json.dumps(row) + "\n" for row in made), tokens="body", tags="marks")
    assert set(found.splits["train"].labels) == {("B-PER", "O")}


def test_words_with_tags_are_read_as_before(tmp_path: Path) -> None:
    row = {"text": "Ann flew", "tokens": ["Ann", "flew"], "tags": ["B-PER", "O"], "entities": []}
    found = read(tmp_path, "".join(json.dumps(row | {"n": n}) + "\n" for n in range(20)))
    assert set(found.splits["train"].labels) == {("B-PER", "O")}


@pytest.mark.parametrize(
    ("spans", "reason"),
    [
        ([[12, 15, "LOC"]], "the span 12 to 15, 'Osl' (LOC), cuts a word of 'Oslo'"),
        ([[0, 3, "PER"], [0, 8, "EVENT"]], "'Ann flew' (EVENT), overlaps another span"),
        ([[12, 40, "LOC"]], "the span 12 to 40 (LOC) is not in the text, which has 16 characters"),
        ([[-4, 3, "PER"]], "is not in the text"),
        ([[3, 4, "PER"]], "holds white space only"),
        ([[0, 3, " "]], "has no type"),
        ([[3, 3, "PER"]], "is not in the text"),
    ],
)
def test_spans_that_are_no_tags_of_words(spans: list[Any], reason: str, tmp_path: Path) -> None:
    good = [{"text": "Ann flew to Oslo", "label": [[0, 3, "PER"]], "n": n} for n in range(3)]
    lines = [json.dumps(row) for row in [*good, {"text": "Ann flew to Oslo", "label": spans}]]
    with pytest.raises(TooManyBadRows) as raised:
        read(tmp_path, "\n".join(lines) + "\n")
    problem = raised.value.problems[1]
    assert problem.where == "rows.jsonl:4"
    assert reason in problem.message


def test_white_space_at_the_ends_of_a_span_does_not_count() -> None:
    assert words_and_tags("to Oslo now", [Span(2, 8, "LOC")]) == (["to", "Oslo", "now"], ["O", "B-LOC", "O"])


@pytest.mark.parametrize("cell", ["Oslo", ["B-PER", "O"], [["New", "York"]], [[0, 3]], [1, 2, 3], {"start": 1}, None])
def test_what_is_no_spans(cell: object) -> None:
    assert as_spans(cell) is None
