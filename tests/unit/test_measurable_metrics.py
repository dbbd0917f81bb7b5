"""A gate or metric that the rows at hand can't give is refused before training, with gate, class and split."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Job = Callable[..., str]
Cli = Callable[..., Any]
Lines = Callable[[str, list[dict[str, Any]]], str]
SETS = {"problemType": "MultiLabel", "separator": "|"}
STORIES = Path(__file__).parents[1] / "models" / "stories260k"


def texts(*labels: Any, each: int = 12, **more: Any) -> list[dict[str, Any]]:
    """Different rows, so many of each label."""
    return [{"text": f"Our printer {at} is {label}", "label": label} | more for label in labels for at in range(each)]


def check(cli: Cli, path: str, *problems: tuple[str, str]) -> list[dict[str, Any]]:
    """Check that `validate` finds just these problems: field, and words of the message."""
    ended = cli("validate", path, "--json")
    failure = json.loads(ended.out)["failure"]
    assert (ended.code, failure["code"]) == (64, "SpecInvalid")
    found = failure["problems"]
    assert [problem["where"] for problem in found] == [where for where, _ in problems]
    for problem, (_, words) in zip(found, problems, strict=True):
        assert words in problem["message"]
        assert problem["hint"]
    return list(found)


@pytest.mark.causes("SpecInvalid")
def test_a_class_that_is_missing_in_the_test_rows(job: Job, cli: Cli, lines: Lines) -> None:
    data = {"train": [{"uri": lines("train.jsonl", texts("a", "b", "c"))}],
            "test": [{"uri": lines("test.jsonl", texts("b", "c", each=9))}]}  # fmt: skip
    gates = [{"metric": metric, "min": 0} for metric in ("recall.a", "rocAuc", "f1Macro", "precision.b", "accuracy")]
    path = job(data=data, evaluation={"gates": gates})
    said = "can't be measured: none of the test rows has the label 'a'"
    found = check(
        cli, path, ("spec.evaluation.gates[0].metric", f"recall.a {said}"),
        ("spec.evaluation.gates[1].metric", f"rocAuc {said}"),
    )  # fmt: skip
    ran = cli("run", path, "--json")
    assert ran.code == 64
    assert ran.events[-1]["problems"] == found
    assert not [event for event in ran.events if event.get("phase") == "Training"]
    fine = job(data=data, evaluation={"gates": gates[2:]})
    assert cli("validate", fine).code == 0


@pytest.mark.causes("SpecInvalid")
def test_a_metric_that_only_the_test_rows_can_give(job: Job, cli: Cli, lines: Lines) -> None:
    data = {"train": [{"uri": lines("train.jsonl", texts("a", "b"))}],
            "validation": [{"uri": lines("validation.jsonl", texts("b", each=9))}],
            "test": [{"uri": lines("test.jsonl", texts("a", "b", each=9))}]}  # fmt: skip
    path = job(data=data, evaluation={"metric": "rocAuc", "gates": [{"metric": "rocAuc", "min": 0.1}]})
    (problem,) = check(cli, path, ("spec.evaluation.metric", "none of the validation rows has the label 'a'"))
    assert "on the test rows it can" in problem["message"]
    assert "data.validation" in problem["hint"]
    without = {**data, "validation": [], "split": {"validation": 0}}
    assert cli("validate", job(data=without, evaluation={"metric": "rocAuc"})).code == 0


@pytest.mark.causes("SpecInvalid")
def test_several_labels_and_numbers(job: Job, cli: Cli, lines: Lines) -> None:
    many = {"train": [{"uri": lines("train.jsonl", texts("a", "b", "a|b"))}], "labels": SETS,
            "test": [{"uri": lines("test.jsonl", texts("a", "a|b", each=9))}]}  # fmt: skip
    gate = {"gates": [{"metric": "rocAuc", "min": 0.5}]}
    check(cli, job(data=many, evaluation=gate), ("spec.evaluation.gates[0].metric", "all test rows have the label 'a'"))
    rising = [{"text": f"Our printer {number}", "label": number / 7} for number in range(40)]
    same = [{"text": f"Your invoice {number}", "label": 2.5} for number in range(9)]
    numbers = {"train": [{"uri": lines("train.jsonl", rising)}], "test": [{"uri": lines("test.jsonl", same)}],
               "labels": {"problemType": "Regression"}}  # fmt: skip
    gates = {"metric": "meanAbsoluteError", "gates": [{"metric": "pearson", "min": 0}, {"metric": "r2", "min": 0}]}
    check(cli, job(data=numbers, evaluation=gates), *(
        (f"spec.evaluation.gates[{at}].metric", "the numbers to predict are all the same in the test rows")
        for at in range(2)
    ))  # fmt: skip


@pytest.mark.causes("SpecInvalid")
def test_types_of_entities(job: Job, cli: Cli, lines: Lines) -> None:
    def sentences(kind: str, count: int) -> list[dict[str, Any]]:
        return [{"tokens": ["Our", str(at), "is", "here"], "tags": ["O", f"B-{kind}", "O", "O"]} for at in range(count)]

    data = {"train": [{"uri": lines("train.jsonl", [*sentences("printer", 30), *sentences("invoice", 30)])}],
            "test": [{"uri": lines("test.jsonl", sentences("printer", 12))}]}  # fmt: skip
    gates = [{"metric": "f1.invoice", "min": 0.1}, {"metric": "f1.printer", "min": 0.1}]
    path = Path(job(data=data, evaluation={"metric": "f1", "gates": gates}))
    path.write_text(path.read_text().replace("SequenceClassification", "TokenClassification"))
    said = "there is no entity of the type 'invoice' in the test rows"
    check(cli, str(path), ("spec.evaluation.gates[0].metric", said))


@pytest.mark.causes("SpecInvalid")
def test_groups_and_skills(job: Job, cli: Cli, lines: Lines) -> None:
    one, few = texts("a", "b", each=80, site="north"), texts("a", "b", each=5, site="south")
    data = {"train": [{"uri": lines("train.jsonl", texts("a", "b", each=20))}],
            "test": [{"uri": lines("test.jsonl", [*one, *few])}],
            "clean": {"dropDuplicates": False}, "columns": {"group": "site"}}  # fmt: skip
    rows = [{**row, "site": "north"} for row in texts("a", "b", each=20)]
    data["train"] = [{"uri": lines("train.jsonl", rows)}]
    skill = {"data": [{"uri": lines("skill.jsonl", texts("a", each=10))}]}
    gates = [{"metric": "gap.accuracy", "max": 0.5}, {"metric": "retention.recall.b", "min": 0.5}]
    path = job(data=data, evaluation={"retention": skill, "gates": gates})
    check(
        cli, path,
        ("spec.evaluation.gates[0].metric", "two groups of 30 test rows or more, and there are 'north' (160)"),
        ("spec.evaluation.gates[1].metric", "none of the examples of the retention set has the label 'b'"),
    )  # fmt: skip


@pytest.mark.causes("SpecInvalid")
def test_raw_text_has_no_answers_to_match(job: Job, cli: Cli, lines: Lines) -> None:
    raw = [{"text": f"Our printer {number} was a joy."} for number in range(40)]
    gates = [{"metric": "exactMatch", "min": 0.1}, {"metric": "bitsPerByte", "max": 9}]
    data = {"train": [{"uri": lines("raw.jsonl", raw)}]}
    path = Path(job(model=STORIES.as_uri(), data=data, evaluation={"gates": gates}))
    path.write_text(path.read_text().replace("SequenceClassification", "CausalLM"))
    check(cli, str(path), ("spec.evaluation.gates[0].metric", "raw text has no expected answers"))
