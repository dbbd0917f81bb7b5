"""Rows that a column keeps together, and what given files share with the training rows and with each other."""

import json
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_api.checks.semantic import semantic_problems
from finetune_api.data import Data
from finetune_api.failures import ColumnMissing, DataEmpty
from finetune_api.spec import Spec
from finetune_api.tasks import Task
from finetune_trainer.data import Prepared, prepare
from finetune_trainer.data.row_groups import connected
from finetune_trainer.storage import Site

RNG = Random(5)  # noqa: S311 -- nothing here is secret
WORDS = ["".join(RNG.choices("abcdefghiklmnoprstuw", k=6)) for _ in range(300)]


def text() -> str:
    return " ".join(RNG.choices(WORDS, k=7))


def rows_of(patients: int, each: int) -> list[dict[str, Any]]:
    return [{"text": text(), "label": "ab"[n % 2], "patient": n // each} for n in range(patients * each)]


def prepared(
    base: Path, files: Mapping[str, str | list[dict[str, Any]]], task: str = "SequenceClassification", **spec: Any
) -> Prepared:
    """Write `files` and prepare them; the first is the training data."""
    for name, content in files.items():
        rows = content if isinstance(content, str) else "".join(json.dumps(row) + "\n" for row in content)
        (base / name).write_text(rows)
    given = {name.split(".")[0]: [{"uri": f"file://./{name}"}] for name in list(files)[1:]}
    data = {"train": [{"uri": f"file://./{next(iter(files))}"}], **given, **spec}
    return prepare(Data.model_validate(data), site=Site(base), task=Task(task))


def sides(result: Prepared, rows: list[dict[str, Any]], column: str = "patient") -> dict[str, set[str]]:
    """Splits by value of the column."""
    found: dict[str, set[str]] = {}
    for name, part in result.splits.items():
        for place in part.places:
            found.setdefault(str(rows[place.line - 1].get(column)), set()).add(name)
    return found


def test_rows_of_a_group_stay_on_one_side(tmp_path: Path) -> None:
    rows = rows_of(40, 5)
    result = prepared(tmp_path, {"rows.jsonl": rows}, split={"groupColumn": "patient"})
    assert all(len(names) == 1 for names in sides(result, rows).values())
    report = result.report
    assert {name: part.groups for name, part in report.splits.items()} == {"train": 32, "validation": 4, "test": 4}
    assert {name: part.rows for name, part in report.splits.items()} == {"train": 160, "validation": 20, "test": 20}
    assert abs(report.splits["validation"].labels["a"] - 10) <= 3
    plain = sides(prepared(tmp_path, {"rows.jsonl": rows}), rows)
    assert any(len(names) > 1 for names in plain.values())


def test_near_duplicates_join_groups(tmp_path: Path) -> None:
    rows = rows_of(40, 5)
    for patient in range(0, 40, 2):
        rows[patient * 5]["text"] = rows[patient * 5 + 7]["text"].upper()
    found = sides(prepared(tmp_path, {"rows.jsonl": rows}, split={"groupColumn": "patient"}), rows)
    assert all(len(found[str(n)] | found[str(n + 1)]) == 1 for n in range(0, 40, 2))


def test_a_row_without_a_value_is_its_own_group(tmp_path: Path) -> None:
    rows = rows_of(20, 5)
    for row, value in zip(rows[:40:2], [None, "", "  ", float("nan")] * 5, strict=True):
        row["patient"] = value
    del rows[1]["patient"]
    result = prepared(tmp_path, {"rows.jsonl": rows}, split={"groupColumn": "patient"})
    assert sum(part.groups or 0 for part in result.report.splits.values()) == 20 + 21
    assert any("21 training rows have no value of 'patient'" in warning for warning in result.report.warnings)


def test_numbers_and_their_texts_are_one_value(tmp_path: Path) -> None:
    rows = rows_of(20, 5)
    ways = [lambda v: v, float, str]
    for n, row in enumerate(rows):
        row["patient"] = ways[n % 3](row["patient"])
    result = prepared(tmp_path, {"rows.jsonl": rows}, split={"groupColumn": "patient"})
    assert sum(part.groups or 0 for part in result.report.splits.values()) == 20


@pytest.mark.parametrize(
    ("task", "row"),
    [
        ("CausalLM", lambda t: {"prompt": t, "completion": t}),
        ("CausalLM", lambda t: {"text": t}),
        (
            "CausalLM",
            lambda t: {"messages": [{"role": "user", "content": t}, {"role": "assistant", "content": "Yes."}]},
        ),
        ("MaskedLM", lambda t: {"text": t}),
        ("Seq2Seq", lambda t: {"input": t, "target": t}),
        ("Preference", lambda t: {"prompt": t, "chosen": "Yes.", "rejected": "No."}),
        ("PolicyOptimization", lambda t: {"prompt": t}),
        ("TokenClassification", lambda t: {"tokens": t.split(), "tags": ["B-X", *["O"] * 6]}),
    ],
)
def test_every_task(tmp_path: Path, task: str, row: Any) -> None:
    rows = [{**row(text()), "user": n // 4} for n in range(120)]
    result = prepared(tmp_path, {"rows.jsonl": rows}, task, split={"groupColumn": "user"})
    assert all(len(names) == 1 for names in sides(result, rows, "user").values())
    assert result.report.splits["test"].rows == 12


def test_documents_of_conll_files(tmp_path: Path) -> None:
    sentences = [f"{word}\tO\n" * 3 + f"{word}\tB-X\n\n" for word in WORDS[:60]]
    content = "".join(("-DOCSTART-\tO\n\n" if n % 5 == 0 else "") + sentence for n, sentence in enumerate(sentences))
    result = prepared(tmp_path, {"rows.conll": content}, "TokenClassification", split={"groupColumn": "document"})
    starts = [n for n, line in enumerate(content.splitlines(), start=1) if line.startswith("-DOC")]
    for part in result.splits.values():
        documents = {max(start for start in starts if start < place.line) for place in part.places}
        assert len(part) == 5 * len(documents)
    assert sum(part.groups or 0 for part in result.report.splits.values()) == 12


@pytest.mark.causes("ColumnMissing")
def test_a_column_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ColumnMissing) as caught:
        prepared(tmp_path, {"rows.jsonl": rows_of(4, 5)}, split={"groupColumn": "Patient"})
    (problem,) = caught.value.problems
    assert problem.where == "spec.data.split.groupColumn"
    assert "no column 'Patient' in rows.jsonl" in problem.message
    assert problem.hint == "write  data.split: {groupColumn: patient}"


@pytest.mark.causes("DataEmpty")
def test_too_few_groups(tmp_path: Path) -> None:
    with pytest.raises(
        DataEmpty, match=r"60 rows \(2 groups by 'patient'\) .* rows of one 'patient' stay together"
    ) as caught:
        prepared(tmp_path, {"rows.jsonl": rows_of(2, 30)}, split={"groupColumn": "patient"})
    assert "nearDuplicates" not in caught.value.problems[0].hint


def test_few_large_groups_are_split_with_a_warning(tmp_path: Path) -> None:
    report = prepared(tmp_path, {"rows.jsonl": rows_of(5, 20)}, split={"groupColumn": "patient"}).report
    assert {name: part.groups for name, part in report.splits.items()} == {"train": 3, "validation": 1, "test": 1}
    assert any("20 rows (20%) are split off for validation instead of 10%" in warning for warning in report.warnings)


def test_given_files_that_share_groups(tmp_path: Path) -> None:
    rows, split = rows_of(20, 5), {"groupColumn": "patient", "validation": 0}
    held_out = [{"text": text(), "label": "a", "patient": n} for n in (3, 4, 77, 78)]
    report = prepared(tmp_path, {"rows.jsonl": rows, "test.jsonl": held_out}, split=split).report
    assert (report.shared_groups, report.leaks) == (2, 0)
    assert any("test rows share values of 'patient' with training rows ('3', '4')" in w for w in report.warnings)
    for row in held_out:
        del row["patient"]
    report = prepared(tmp_path, {"rows.jsonl": rows, "test.jsonl": held_out}, split=split).report
    assert any("test.jsonl has no column 'patient'" in warning for warning in report.warnings)


@pytest.mark.parametrize("rule", ["KeepTogether", "Ignore"])
def test_validation_and_test_files_that_are_the_same(tmp_path: Path, rule: str) -> None:
    rows, held_out = rows_of(20, 5), rows_of(10, 3)
    files: dict[str, Any] = {"rows.jsonl": rows, "validation.jsonl": held_out, "test.jsonl": held_out[::-1]}
    report = prepared(tmp_path, files, split={"nearDuplicates": rule}).report
    assert (report.shared_held_out, report.leaks) == (30, 0)
    assert any(
        warning.startswith("All 30 test rows are") and "validation row" in warning for warning in report.warnings
    )
    files["test.jsonl"] = [*rows_of(10, 3), held_out[4]]
    report = prepared(tmp_path, files, split={"nearDuplicates": rule}).report
    assert (report.shared_held_out, report.leaks) == (1, 0)
    files["test.jsonl"] = rows_of(10, 3)
    report = prepared(tmp_path, files, split={"nearDuplicates": rule}).report
    assert not any("validation row" in warning for warning in report.warnings)


def test_the_training_file_as_test_file(tmp_path: Path) -> None:
    rows = rows_of(20, 5)
    report = prepared(tmp_path, {"rows.jsonl": rows, "test.jsonl": rows}, split={"validation": 0}).report
    assert report.leaks == 100
    assert any(w.startswith("All 100 test rows are nearly the same as training rows") for w in report.warnings)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=40))
def test_connected_groups_are_the_components(pairs: list[tuple[int, int]]) -> None:
    first, second = (np.asarray([pair[side] for pair in pairs], dtype=np.int64) for side in (0, 1))
    found = connected(first, second).tolist()
    for n in range(len(pairs)):
        linked, more = {n}, True
        while more:
            new = {
                m for m, pair in enumerate(pairs) for k in linked if pair[0] == pairs[k][0] or pair[1] == pairs[k][1]
            }
            more, linked = not new <= linked, linked | new
        assert {m for m in range(len(pairs)) if found[m] == found[n]} == linked


@pytest.mark.parametrize(
    ("data", "is_refused"),
    [
        ({}, False),
        ({"test": [{"uri": "file://t.csv"}]}, False),
        ({"split": {"validation": 0}}, False),
        ({"test": [{"uri": "file://t.csv"}], "validation": [{"uri": "file://v.csv"}]}, True),
        ({"test": [{"uri": "file://t.csv"}], "split": {"validation": 0}}, True),
    ],
)
def test_a_column_that_nothing_is_split_by_is_refused(data: dict[str, Any], is_refused: bool) -> None:
    data = {"train": [{"uri": "file://x.csv"}], **data}
    data["split"] = {**data.get("split", {}), "groupColumn": "patient"}
    fixed = {"task": "SequenceClassification", "model": {"uri": "hf://a/b"}, "output": {"uri": "file://out"}}
    problems = semantic_problems(Spec.model_validate({**fixed, "data": data}))
    assert [problem.where for problem in problems] == ["spec.data.split.groupColumn"] * is_refused
