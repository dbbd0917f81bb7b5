"""Labels in columns of zeros and ones, one column for each label."""

import json
from pathlib import Path
from typing import Any

import pytest

from finetune_api.checks.semantic import semantic_problems
from finetune_api.data import Columns, Data
from finetune_api.failures import ColumnMissing, TooManyBadRows
from finetune_api.spec import Spec
from finetune_trainer.data import Prepared, prepare
from finetune_trainer.storage import Site

KINDS = ["toxic", "obscene", "insult"]
ROWS = [
    (f"{name} sold the {thing} {where}", [number % 2, number % 3 == 0, number % 5 == 0])
    for number, (name, thing, where) in enumerate(
        (name, thing, where)
        for name in ("Ada", "Grace", "Edsger", "Barbara", "Donald")
        for thing in ("boat", "old piano", "last of the apples", "house")
        for where in ("in Delft", "to a stranger", "twice")
    )
]


def csv_of(flags: tuple[str, str] = ("0", "1")) -> str:
    rows = "".join(f"{n},{text},{','.join(flags[bool(f)] for f in given)}\n" for n, (text, given) in enumerate(ROWS))
    return f"id,text,{','.join(KINDS)}\n{rows}"


def prepared(path: Path, content: str, name: str = "rows.csv", **spec: Any) -> Prepared:
    (path / name).write_text(content)
    return prepare(Data.model_validate({"train": [{"uri": f"file://./{name}"}], **spec}), site=Site(path))


@pytest.mark.parametrize("flags", [("0", "1"), ("0.0", "1.0"), ("False", "True")])
def test_each_column_is_a_label(tmp_path: Path, flags: tuple[str, str]) -> None:
    result = prepared(tmp_path, csv_of(flags), columns={"labels": KINDS})
    assert (result.labels.problem_type, result.labels.names) == ("MultiLabel", tuple(KINDS))
    for split in result.splits.values():
        for text, target in zip(split.texts, split.targets.tolist(), strict=True):
            assert target == [float(flag) for flag in dict(ROWS)[text]]
    assert result.report.columns["labels[1]"] == "obscene"
    assert any("same text and label" in w or "without any label" in w for w in result.report.warnings)


def test_the_same_from_json(tmp_path: Path) -> None:
    rows = [{"text": text, **dict(zip(KINDS, given, strict=True))} for text, given in ROWS]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    one = prepared(tmp_path, lines, "rows.jsonl", columns={"labels": KINDS})
    assert one.digest == prepared(tmp_path, csv_of(), columns={"labels": KINDS}).digest


def test_the_remedy_of_a_missing_label_names_all_of_them(tmp_path: Path) -> None:
    with pytest.raises(ColumnMissing) as caught:
        prepared(tmp_path, csv_of())
    assert "data.columns: {labels: [toxic, obscene, insult]}" in caught.value.problems[0].hint
    one = csv_of().replace("obscene", "page").replace("insult", "line").replace(",0,", ",7,")
    with pytest.raises(ColumnMissing) as caught:
        prepared(tmp_path, one)
    assert "labels:" not in caught.value.problems[0].hint


def test_a_cell_that_is_neither_yes_nor_no(tmp_path: Path) -> None:
    content = csv_of() + "98,neither here,1,-1,0\n99,nor there,1,,0\n"
    result = prepared(tmp_path, content, columns={"labels": KINDS})
    assert result.report.bad_row_reasons == {"obscene is neither 0 nor 1": 2}
    assert result.report.bad_row_examples[0].place.line == len(ROWS) + 2


def test_a_label_column_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ColumnMissing) as caught:
        prepared(tmp_path, csv_of(), columns={"labels": ["toxic", "obscen"]})
    (problem,) = caught.value.problems
    assert problem.where == "spec.data.columns.labels[1]"
    assert "did you mean 'obscene'?" in problem.hint


def test_one_of_several_columns(tmp_path: Path) -> None:
    header, *lines = csv_of().splitlines()
    one_hot = "\n".join([header, *(f"{n},{text},{n % 3 == 0:d},{n % 3 == 1:d},{n % 3 == 2:d}"
                                   for n, (text, _) in enumerate(ROWS))]) + "\n"  # fmt: skip
    single = {"columns": {"labels": KINDS}, "labels": {"problemType": "SingleLabel"}}
    result = prepared(tmp_path, one_hot, **single)
    assert (result.labels.problem_type, result.labels.names) == ("SingleLabel", tuple(KINDS))
    assert result.splits["train"].targets.ndim == 1
    with pytest.raises(TooManyBadRows, match="not exactly one label"):
        prepared(tmp_path, "\n".join([header, *lines]) + "\n", **single)


def spec_of(**data: Any) -> Spec:
    return Spec.model_validate(
        {
            "task": "SequenceClassification",
            "model": {"uri": "hf://owner/model"},
            "data": {"train": [{"uri": "file://./rows.csv"}], **data},
            "output": {"uri": "file://./out"},
        }
    )


@pytest.mark.parametrize(
    ("data", "where"),
    [
        ({"columns": {"labels": ["a"]}}, "columns.labels"),
        ({"columns": {"labels": ["a", "a"]}}, "columns.labels"),
        ({"columns": {"labels": ["a", "b"]}, "labels": {"names": ["x", "y"]}}, "labels.names"),
        ({"columns": {"labels": ["a", "b"]}, "labels": {"separator": "|"}}, "labels.separator"),
        ({"columns": {"labels": ["a", "b"]}, "labels": {"problemType": "Regression"}}, "labels.problemType"),
        ({"labels": {"decimal": ",", "problemType": "SingleLabel"}}, "labels.decimal"),
    ],
)
def test_what_does_not_fit_together(data: dict[str, Any], where: str) -> None:
    assert [problem.where for problem in semantic_problems(spec_of(**data))] == [f"spec.data.{where}"]


def test_what_fits() -> None:
    data = {"columns": {"labels": ["a", "b"]}, "labels": {"names": ["a", "b"], "problemType": "MultiLabel"}}
    assert semantic_problems(spec_of(**data)) == []


def test_label_or_labels() -> None:
    with pytest.raises(ValueError, match="name one of the two"):
        Columns.model_validate({"label": "a", "labels": ["b", "c"]})
