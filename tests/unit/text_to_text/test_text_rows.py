import json
from pathlib import Path
from typing import Any

import pytest

from finetune_api.checks.semantic import semantic_problems
from finetune_api.checks.support import unsupported
from finetune_api.data import Data
from finetune_api.failures import ColumnMissing, ModelUnsuitable
from finetune_api.resolved import resolve
from finetune_api.spec import Spec
from finetune_api.tasks import Task
from finetune_trainer.data import Prepared, prepare
from finetune_trainer.plan import resolve_values
from finetune_trainer.storage import Site

WORDS = [f"word{chr(97 + number)}" for number in range(16)]


def spec(**blocks: Any) -> Spec:
    return Spec.model_validate(
        {
            "task": "Seq2Seq",
            "model": {"uri": "hf://google-t5/t5-small"},
            "output": {"uri": "file://./out"},
            **blocks,
            "data": {"train": [{"uri": "file://./rows.csv"}], **blocks.get("data", {})},
        }
    )


def prepared(folder: Path, rows: list[dict[str, Any]], **data: Any) -> Prepared:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = {"train": [{"uri": "file://./rows.jsonl"}], "split": {"validation": 0, "test": 0}}
    return prepare(Data.model_validate(source | data), site=Site(folder), task=Task.SEQ2SEQ)


def test_inputs_and_targets(tmp_path: Path) -> None:
    rows = [{"doc": f"text  {n}", "sum": f" summary {n} "} for n in range(4)]
    found = prepared(tmp_path, rows, columns={"input": "doc", "target": "sum"})
    train = found.splits["train"]
    assert train.texts == [f"text {n}" for n in range(4)]
    assert train.pairs is None
    assert train.labels == [f"summary {n}" for n in range(4)]
    assert found.report.columns == {"input": "doc", "target": "sum"}
    assert found.report.problem_type == ""
    assert found.report.label_names == []


def test_questions_about_passages_stay_together(tmp_path: Path) -> None:
    passages = [" ".join(f"{word}{(number * 7 + at) % 97}" for at, word in enumerate(WORDS)) for number in range(40)]
    rows = [
        {"context": passage, "question": question, "answer": passage.split()[0]}
        for passage in passages
        for question in ("How many bridges?", "How many ferries?")
    ]
    columns, split = {"context": "context", "target": "answer"}, {"validation": 0.25, "test": 0}
    found = prepared(tmp_path, rows, columns=columns, split=split, clean={"dropDuplicates": False})
    assert found.report.columns == {"question": "question", "context": "context", "target": "answer"}
    sides = {name: set(rows.pairs or ()) for name, rows in found.splits.items()}
    assert not sides["train"] & sides["validation"]


def test_a_row_without_a_part_is_a_bad_row(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"input": f"a {n}", "target": f"b {n}"} for n in range(30)]
    rows += [{"input": "", "target": "b"}, {"input": "a", "target": None}, {"input": ["a"], "target": "b"}]
    found = prepared(tmp_path, rows, maxBadRowRatio=0.2)
    assert found.report.bad_row_reasons == {"input is empty": 1, "target is empty": 1, "input is no text": 1}
    assert len(found.splits["train"]) == 30


def test_rows_with_one_input_and_several_targets_are_no_conflict_of_labels(tmp_path: Path) -> None:
    rows = [{"input": "same words", "target": f"sentence {n}"} for n in range(9)]
    rows.append(rows[0])
    found = prepared(tmp_path, rows)
    assert "1 text occurs with different targets." in found.report.warnings
    assert any("same input and target" in warning for warning in found.report.warnings)
    assert len(found.splits["train"]) == 9


@pytest.mark.causes("ColumnMissing")
@pytest.mark.parametrize(
    ("row", "columns", "hint"),
    [
        ({"article": "a", "highlights": "b"}, {}, "data.columns: {input: article, target: highlights}"),
        (
            {"context": "a", "question": "b", "answer": "c"},
            {},
            "{question: question, context: context, target: answer}",
        ),
        (
            {"passage": "a", "question": "b", "answer": "c"},
            {"question": "question"},
            "context: passage, target: answer",
        ),
    ],
)
def test_missing_columns_are_guessed(row: dict[str, str], columns: dict[str, str], hint: str, tmp_path: Path) -> None:
    with pytest.raises(ColumnMissing, match="no column") as caught:
        prepared(tmp_path, [row] * 3, columns=columns)
    assert hint in caught.value.problems[-1].hint


@pytest.mark.parametrize(
    ("blocks", "where"),
    [
        ({"data": {"columns": {"label": "y"}}}, "spec.data.columns.label"),
        ({"data": {"columns": {"input": "x", "question": "q"}}}, "spec.data.columns.input"),
        ({"data": {"labels": {"separator": "|"}}}, "spec.data.labels"),
        ({"training": {"classWeights": "Balanced"}}, "spec.training.classWeights"),
        ({"evaluation": {"metric": "accuracy"}}, "spec.evaluation.metric"),
        ({"evaluation": {"gates": [{"metric": "f1.billing", "min": 0.5}]}}, "spec.evaluation.gates[0].metric"),
        ({"evaluation": {"gates": [{"metric": "rougeL", "min": 40}]}}, "spec.evaluation.gates[0].min"),
    ],
)
def test_what_makes_no_sense_is_said(blocks: dict[str, Any], where: str) -> None:
    assert [problem.where for problem in semantic_problems(spec(**blocks))] == [where]


def test_a_sound_job_has_no_problem() -> None:
    generation = {"maxNewTokens": 64, "numBeams": 4, "noRepeatNgramSize": 2}
    evaluation = {"metric": "chrF", "generation": generation, "gates": [{"metric": "exactMatch", "min": 0.1}]}
    sound = spec(data={"columns": {"question": "q", "context": "c", "target": "a"}}, evaluation=evaluation)
    assert semantic_problems(sound) == []
    assert unsupported(sound) == []


def test_settings_of_writing_are_refused_where_nothing_is_written() -> None:
    blocks = {"data": {"maxTargetLength": 9}, "evaluation": {"generation": {"numBeams": 2}}}
    problems = semantic_problems(spec(task="SequenceClassification", **blocks))
    assert {problem.where for problem in problems} == {"spec.data.maxTargetLength", "spec.evaluation.generation"}


def test_methods_that_make_no_sense_are_refused() -> None:
    problems = unsupported(spec(method={"type": "FeatureExtraction"}))
    assert [problem.where for problem in problems] == ["spec.method.type"]


@pytest.mark.causes("ModelUnsuitable")
def test_more_tokens_than_the_model_can_write_are_refused() -> None:
    assert resolve(spec()).max_target_length == 128
    assert resolve(spec(data={"maxTargetLength": 40})).max_target_length == 40
    with pytest.raises(ModelUnsuitable) as caught:
        resolve_values(spec(data={"maxTargetLength": 80, "maxLength": 64}), limit=64)
    assert caught.value.problems[0].where == "spec.data.maxTargetLength"
