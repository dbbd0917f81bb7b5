"""Rows for language models: which shape they have, and which can't be used."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune_api.data import Data
from finetune_api.failures import ColumnMissing, TooManyBadRows
from finetune_api.tasks import Task
from finetune_trainer.data import Prepared, prepare
from finetune_trainer.data.chat import Chat
from finetune_trainer.storage import Site

Lines = Callable[[str, list[dict[str, Any]]], str]
STORIES = Path(__file__).parents[2] / "models" / "stories260k"
POEM = "Erste Zeile\n    zweite  Zeile\n"


def prepared(uri: str, task: Task = Task.CAUSAL_LM, **data: Any) -> Prepared:
    spec = {"train": [{"uri": uri}], "split": {"validation": 0, "test": 0}, **data}
    return prepare(Data.model_validate(spec), site=Site(Path("/")), task=task)


def chat(*contents: str) -> dict[str, Any]:
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[n % 2], "content": text} for n, text in enumerate(contents)]}


@pytest.mark.parametrize("task", [Task.CAUSAL_LM, Task.MASKED_LM])
def test_raw_text_keeps_its_white_space(lines: Lines, task: Task) -> None:
    found = prepared(lines("rows.jsonl", [{"text": POEM}, {"text": "Anders"}]), task)
    assert found.splits["train"].texts == [POEM, "Anders"]
    assert found.report.columns == {"text": "text"}
    assert found.report.problem_type == ""


def test_white_space_is_collapsed_where_asked_for(lines: Lines) -> None:
    uri = lines("rows.jsonl", [{"text": POEM}, {"text": "Anders"}])
    assert prepared(uri, clean={"collapseWhitespace": True}).splits["train"].texts[0] == "Erste Zeile zweite Zeile"


def test_prompts_are_found_by_their_columns(lines: Lines) -> None:
    found = prepared(lines("rows.jsonl", [{"prompt": "2 + 2", "completion": "4"}, {"prompt": "1", "completion": "1"}]))
    assert found.splits["train"].turns[0] == Chat.of(("user", "2 + 2"), ("assistant", "4"))
    assert found.splits["train"].labels == ["4", "1"]


def test_an_input_follows_its_prompt_where_there_is_one(lines: Lines) -> None:
    rows = [
        {"instruction": "Add", "input": "2 2", "output": "4"},
        {"instruction": "Greet", "input": "", "output": "Hi"},
    ]
    found = prepared(lines("rows.jsonl", rows), columns={"prompt": "instruction", "completion": "output"})
    assert found.splits["train"].texts == ["Add\n2 2", "Greet"]
    assert found.report.columns == {"prompt": "instruction", "completion": "output", "input": "input"}


def test_chats_end_with_their_last_answer(lines: Lines) -> None:
    found = prepared(lines("rows.jsonl", [chat("Hi", "Hello", "Bye", "So long", "Wait"), chat("a", "b")]))
    assert [turn.content for turn in found.splits["train"].turns[0]] == ["Hi", "Hello", "Bye", "So long"]
    assert found.splits["train"].labels[0] == "So long"


def test_chats_can_be_json_in_a_cell(tmp_path: Path) -> None:
    cell = '"[{""role"": ""user"", ""content"": ""Hi""}, {""role"": ""assistant"", ""content"": ""Hello""}]"'
    (tmp_path / "rows.csv").write_text(f"messages,id\n{cell},1\n{cell.replace('Hi', 'Hey')},2\n")
    found = prepared(f"file://{tmp_path}/rows.csv")
    assert found.splits["train"].turns[1] == Chat.of(("user", "Hey"), ("assistant", "Hello"))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"messages": "hello"}, "messages is no list of messages"),
        ({"messages": None}, "messages is empty"),
        ({"messages": [{"role": "user"}]}, "a message lacks role or content"),
        (
            {"messages": [{"role": "narrator", "content": "Hi"}]},
            "unknown role of a message: 'narrator'; known are system",
        ),
        ({"messages": [{"role": "user", "content": "Hi"}]}, "no message of the assistant: roles: user"),
        ({"messages": [{"role": "assistant", "content": "Hi"}]}, "the assistant's message answers nothing"),
        (chat("Hi", " "), "a message of the assistant is empty"),
        ({"messages": [{"role": "user", "content": [1]}, {"role": "assistant", "content": "x"}]}, "content is no text"),
    ],
)
@pytest.mark.causes("TooManyBadRows")
def test_broken_chats_are_bad_rows(lines: Lines, row: dict[str, Any], reason: str) -> None:
    uri = lines("rows.jsonl", [chat("a", "b"), chat("c", "d"), row])
    with pytest.raises(TooManyBadRows, match=reason.partition(":")[0]) as caught:
        prepared(uri)
    assert any(problem.message.startswith(reason) for problem in caught.value.problems)
    report = prepared(uri, maxBadRowRatio=0.5).report
    assert (report.bad_rows, report.bad_row_examples[0].place.line) == (1, 3)


@pytest.mark.parametrize("row", [{"prompt": "", "completion": "4"}, {"prompt": "2 + 2", "completion": "  "}])
def test_prompts_and_completions_must_not_be_empty(lines: Lines, row: dict[str, Any]) -> None:
    full = [{"prompt": str(n), "completion": str(n)} for n in range(3)]
    assert prepared(lines("rows.jsonl", [*full, row]), maxBadRowRatio=0.5).report.bad_rows == 1


@pytest.mark.causes("ColumnMissing")
def test_columns_of_other_names_are_suggested(lines: Lines) -> None:
    uri = lines("rows.jsonl", [{"question": "Add 2 and 2", "answer": "4"}, {"question": "Hi", "answer": "Hello"}])
    with pytest.raises(ColumnMissing) as caught:
        prepared(uri)
    assert caught.value.problems[-1].hint == "write  data.columns: {prompt: question, completion: answer}"


def test_rows_with_the_same_prompt_stay_in_one_split(lines: Lines) -> None:
    words = [f"{first}{second}" for first in "bdfgklmnprst" for second in ("amber", "echo", "isle", "oval", "umber")]
    prompts = [f"{one} {two} {three}" for one, two, three in zip(words, words[7:], words[23:], strict=False)]
    rows = [{"prompt": prompt, "completion": answer} for prompt in prompts for answer in ("yes", "no", "maybe")]
    found = prepared(lines("rows.jsonl", rows), split={"validation": 0.2, "test": 0.2})
    train, validation, test = (set(part.texts) for part in found.splits.values())
    assert not (train & validation | train & test | validation & test)
    assert len(found.splits["test"]) >= 3


@pytest.mark.parametrize("role", ["input", "system", "history", "tools"])
def test_columns_of_prompts_are_refused_beside_raw_text(
    role: str, job: Callable[..., str], cli: Callable[..., Any], lines: Any
) -> None:
    rows = [{"text": f"once upon a time {n}", "more": "here"} for n in range(12)]
    data = {"train": [{"uri": lines("raw.jsonl", rows)}], "columns": {role: "more"}}
    path = Path(job(model=STORIES.as_uri(), data=data, method={"type": "LoRA"}))
    path.write_text(path.read_text().replace("SequenceClassification", "CausalLM"))
    (problem,) = json.loads(cli("validate", path, "--json").out)["failure"]["problems"]
    assert problem["where"].endswith(f"spec.data.columns.{role}")
    assert "'more'" in problem["message"]
    assert "raw text, of 'text'" in problem["message"]
