"""Layouts and cells of published data sets that no setting reads: what they are is told, with the rows to write."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune_api.data import Data
from finetune_api.failures import ColumnMissing, JobFailure, LabelsUnsuitable, TooManyBadRows
from finetune_api.tasks import Task
from finetune_trainer.data import Prepared, prepare
from finetune_trainer.data.label_name_checks import number_with_unit
from finetune_trainer.storage import Site

Read = Callable[..., Prepared]
PAIR_TASKS = (Task.PREFERENCE, Task.REWARD_MODEL)


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """A function that prepares the content of a file, or rows as JSON Lines."""

    def prepared(content: str | list[dict[str, Any]], task: Task, name: str = "rows.jsonl", **data: Any) -> Prepared:
        text = content if isinstance(content, str) else "".join(json.dumps(row) + "\n" for row in content)
        (tmp_path / name).write_text(text)
        spec = {"train": [{"uri": f"file://./{name}"}], "split": {"validation": 0, "test": 0}, **data}
        return prepare(Data.model_validate(spec), site=Site(tmp_path), task=task)

    return prepared


def hint_of(read: Read, rows: list[dict[str, Any]] | str, task: Task, failure: type[JobFailure], **more: Any) -> str:
    with pytest.raises(failure) as caught:
        read(rows, task, **more)
    return next(problem.hint for problem in caught.value.problems if problem.hint)


@pytest.mark.parametrize("task", [Task.CAUSAL_LM, *PAIR_TASKS])
def test_trees_of_messages(read: Read, task: Task) -> None:
    replies = [{"text": word, "role": "assistant", "replies": []} for word in ("Hello", "What?")]
    tree = {"message_tree_id": "1", "prompt": {"text": "Hi", "role": "prompter", "replies": replies}}
    hint = hint_of(read, [tree] * 3, task, ColumnMissing)
    assert hint.startswith("these look like trees of messages")
    assert "a row for each way from the prompt to a last reply" in hint
    assert "data.columns" not in hint, "no column holds what is needed"


@pytest.mark.parametrize("task", [Task.CAUSAL_LM, *PAIR_TASKS])
@pytest.mark.parametrize(
    ("first", "second"),
    [("human_ref_A", "human_ref_B"), ("response_0", "response_1"), ("output_1", "output_2"),
     ("conversation_a", "conversation_b")],
)  # fmt: skip
def test_two_answers_and_a_judgement(read: Read, first: str, second: str, task: Task) -> None:
    rows = [{"history": f"Why {n}?", first: f"So {n}.", second: f"No {n}.", "labels": n % 2} for n in range(4)]
    hint = hint_of(read, rows, task, ColumnMissing)
    assert f"of {first} and {second}, write the better one as chosen" in hint
    assert ("human_ref_A where labels is 1" in hint) == (first == "human_ref_A")
    assert "data.columns" not in hint


@pytest.mark.parametrize(
    "cell",
    [
        [{"system": "Be kind.", "input": "Hi", "output": "Hello"}],
        [{"human": "Hi", "assistant": "Hello"}],
        ["Hi", "Hello"],
        "User: Hi Assistant: Hello",
        {"turns": [{"role": "user", "content": "Hi"}]},
    ],
)
@pytest.mark.parametrize("column", ["conversation", "conversations"])
def test_chats_that_are_written_otherwise(read: Read, column: str, cell: object) -> None:
    hint = hint_of(read, [{column: cell}] * 3, Task.CAUSAL_LM, ColumnMissing)
    assert "these look like chats in another layout" in hint
    assert '{"role": "user", "content": "..."}' in hint
    assert f"messages: {column}" not in hint, "that column would be refused next"


WORDS = [("EU", "B-ORG"), ("rejects", "O"), ("it", "O")]


def test_a_row_for_each_word(read: Read) -> None:
    lines = [f"Sentence: {number},{word},{tag}" for number in range(3) for word, tag in WORDS]
    table = "\n".join(["Sentence #,Word,Tag", *lines]) + "\n"
    hint = hint_of(read, table, Task.TOKEN_CLASSIFICATION, ColumnMissing, name="ner.csv")
    assert "a row for each word" in hint
    assert "or write CoNLL" in hint
    columns = {"tokens": "Word", "tags": "Tag"}
    with pytest.raises(TooManyBadRows) as caught:
        read(table, Task.TOKEN_CLASSIFICATION, name="ner.csv", columns=columns)
    summary, first = caught.value.problems[:2]
    assert "Word is a single word (9)" in summary.message
    assert "CoNLL: word, tab and tag a line" in summary.hint
    assert (first.where, first.message) == ("ner.csv:2", "Word is a single word: 'EU'")


@pytest.mark.parametrize("sign", [",", "\t"])
def test_row_names_without_a_column(read: Read, sign: str) -> None:
    lines = [sign.join((f'"{number}"', f'"some text {number}"', '"ab"')) for number in (7, 3, 12)]
    table = "\n".join([sign.join(('"text"', '"label"')), *lines]) + "\n"
    with pytest.raises(TooManyBadRows) as caught:
        read(table, Task.SEQUENCE_CLASSIFICATION, name="r.csv")
    summary, first = caught.value.problems[:2]
    assert "a row name without a column (3)" in summary.message
    assert "row.names = FALSE" in summary.hint
    assert first.where == "r.csv:2"
    assert "3 fields from '7' on where the header has 2" in first.message


def test_a_separator_in_a_text_is_no_row_name(read: Read) -> None:
    table = "id,text,label\n1,fine,a\n2,good, but late,b\n3,late,b\n4,on time,a\n"
    with pytest.raises(TooManyBadRows) as caught:
        read(table, Task.SEQUENCE_CLASSIFICATION, name="ids.csv", maxBadRowRatio=0)
    assert "wrong number of fields (1)" in caught.value.problems[0].message


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["5%", "10%", "20 %"], ("5%", "5")),
        (["1/5", "2/5", "5/5"], ("5/5", "5")),
        (["1 star", "2 stars", "5 Stars"], ("5 Stars", "5")),
        (["0 out of 4", "1 out of 4", "3 out of 4"], ("3 out of 4", "3")),
        (["$5", "$7.50", "$9"], ("$9", "9")),
        (["1", "2", "3"], None),
        (["1/5", "2/5", "1/4"], None),
        (["5 kg", "6 km", "7 kg"], None),
        (["1 star", "5 stars"], None),
        (["grade 1", "grade 2", "grade 3"], None),
        (["5%", "10%", "none"], None),
    ],
)
def test_numbers_with_a_unit(names: list[str], found: tuple[str, str] | None) -> None:
    assert number_with_unit(names) == found


def labelled(labels: list[str]) -> str:
    return "text,label\n" + "".join(f"text {n} of {n * n + 3},{label}\n" for n, label in enumerate(labels))


def test_labels_with_a_unit_are_classes_with_a_word(read: Read) -> None:
    stars = labelled([f"{number % 5 + 1}/5" for number in range(40)])
    told = read(stars, Task.SEQUENCE_CLASSIFICATION, name="stars.csv").report.warnings
    assert (
        "Labels such as '5/5' are classes, without an order: if they are numbers to predict, write the number alone"
        " (5), with data.labels.problemType: Regression."
    ) in told
    chosen = {"labels": {"problemType": "SingleLabel"}}
    told = read(stars, Task.SEQUENCE_CLASSIFICATION, name="stars.csv", **chosen).report.warnings
    assert not [warning for warning in told if "without an order" in warning]
    shares = labelled([f"{number}%" for number in range(40)])
    hint = hint_of(read, shares, Task.SEQUENCE_CLASSIFICATION, LabelsUnsuitable, name="shares.csv")
    assert hint.startswith("for numbers to predict write 9, not '9%'")


@pytest.mark.parametrize("names", [("chosen_score", "rejected_score"), ("score_chosen", "score_rejected"),
                                   ("chosen-rating", "rejected-rating")])  # fmt: skip
def test_scores_that_contradict_the_choice(read: Read, names: tuple[str, str]) -> None:
    scores = [(5, 1), (2, 4), (3, 3), (None, 2), (1.5, "1.75")]
    rows = [
        {"prompt": f"{n} + {n}?", "chosen": f"It is {2 * n}", "rejected": "No", **dict(zip(names, both, strict=True))}
        for n, both in enumerate(scores)
    ]
    told = read(rows, Task.PREFERENCE).report.warnings
    assert (
        "2 training pairs score the rejected answer above the chosen one, for example rows.jsonl:2: exchange the"
        " answers, or take the rows out."
    ) in told
    assert not [warning for warning in read(rows[:1] * 2, Task.PREFERENCE).report.warnings if "score" in warning]
