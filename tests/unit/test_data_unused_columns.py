"""What is said of columns that are left out, and of texts that are hardly what they seem."""

import json
from pathlib import Path
from typing import Any

import pytest

from finetune_api.data import Data
from finetune_api.failures import ColumnMissing
from finetune_api.tasks import Task
from finetune_trainer.data import prepare
from finetune_trainer.storage import Site

WORDS = ("harbour", "lantern", "meadow", "orchard", "pillow", "quarry", "ribbon", "saddle", "timber", "velvet")


def warnings(path: Path, rows: list[dict[str, Any]], task: Task = Task.CAUSAL_LM, **columns: str) -> list[str]:
    (path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    spec = {"train": [{"uri": "file://./rows.jsonl"}], "columns": columns, "split": {"validation": 0, "test": 0}}
    return prepare(Data.model_validate(spec), site=Site(path), task=task).report.warnings


NLI = [{"premise": f"a {word}", "hypothesis": f"no {word}", "label": n % 2} for n, word in enumerate(WORDS)]


def test_the_second_text_of_a_pair_is_missed(tmp_path: Path) -> None:
    classify = Task.SEQUENCE_CLASSIFICATION
    words = "Column 'hypothesis' is not used: if labels are of both texts, set data.columns.textPair: hypothesis."
    assert words in warnings(tmp_path, NLI, classify, text="premise")
    both = {"text": "premise", "textPair": "hypothesis"}
    assert not any("not used" in line for line in warnings(tmp_path, NLI, classify, **both))


def test_the_second_text_of_a_pair_is_named_with_the_first(tmp_path: Path) -> None:
    with pytest.raises(ColumnMissing) as caught:
        warnings(tmp_path, NLI, Task.SEQUENCE_CLASSIFICATION)
    assert caught.value.problems[-1].hint == "write  data.columns: {text: premise, textPair: hypothesis}"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (
            {"instruction": "Sing of a", "input": "", "output": "La", "text": "### Sing! La:"},
            "raw text, from 'text'; to learn the answers alone, set data.columns: {prompt: instruction, completion:",
        ),
        ({"prompt": "Sing", "completion": "La", "system_message": "Hush"}, "set data.columns.system: system_message."),
        ({"prompt": "Sing", "completion": "La", "reasoning": "A song."}, "Column 'reasoning' is not used: to learn it"),
    ],
)
def test_what_belongs_to_a_prompt_is_missed(tmp_path: Path, row: dict[str, str], words: str) -> None:
    rows = [{**row, next(iter(row)): f"{next(iter(row.values()))} {word}"} for word in WORDS]
    assert any(words in line for line in warnings(tmp_path, rows))
    used = {"prompt": "instruction", "completion": "output"} if "instruction" in row else {"system": "system_message"}
    if "reasoning" not in row:
        assert not any("not used" in line or "raw text" in line for line in warnings(tmp_path, rows, **used))


def test_texts_that_spell_a_missing_value_are_told(tmp_path: Path) -> None:
    rows = [{"text": f"the {word}"} for word in WORDS]
    told = warnings(tmp_path, [*rows, {"text": "NULL"}, {"text": "#N/A"}])
    assert any(line.startswith("2 texts of training rows are no more than 'NULL', '#N/A', which") for line in told)
    assert not any("missing value" in line for line in warnings(tmp_path, rows))


@pytest.mark.parametrize(
    "text", ["caf\ufffd", *(word.encode().decode("cp1252") for word in ("café", "it\u2019s", "5 °C"))]
)
def test_texts_that_were_decoded_wrongly_are_told(tmp_path: Path, text: str) -> None:
    rows = [{"text": f"the {word} é \u2019 ° ÃO Â"} for word in WORDS]
    told = [line for line in warnings(tmp_path, [*rows, {"text": text}]) if "decoded" in line]
    assert [line.partition(" hold ")[0] for line in told] == ["1 of 11 training rows"]
    assert not any("decoded" in line for line in warnings(tmp_path, rows))


@pytest.mark.parametrize("task", [Task.CAUSAL_LM, Task.PREFERENCE, Task.SEQ2SEQ])
def test_answers_that_repeat_their_prompt_are_told(tmp_path: Path, task: Task) -> None:
    asked = [f"What is it about the {word}?" for word in WORDS]
    roles = {Task.CAUSAL_LM: ("prompt", "completion"), Task.SEQ2SEQ: ("input", "target")}
    first, *answers = roles.get(task, ("prompt", "chosen", "rejected"))
    rows = [{first: text, **{name: f"{text} It is {name}." for name in answers}} for text in asked]
    words = "10 of 10 training rows have an answer that begins with its own prompt"
    assert any(line.startswith(words) for line in warnings(tmp_path, rows, task))
    once = [{**row, answers[-1]: "It is fine."} for row in rows]
    assert not any("its own prompt" in line for line in warnings(tmp_path, once, task))


@pytest.mark.parametrize("task", [Task.SEQUENCE_CLASSIFICATION, Task.TOKEN_CLASSIFICATION])
def test_rows_that_an_annotator_rejected_are_left_out(tmp_path: Path, task: Task) -> None:
    marks = {"_input_hash": 1, "_task_hash": 2}
    tags = {"tokens": ["a", "b"], "tags": ["O", "B-x"]} if task is Task.TOKEN_CLASSIFICATION else {}
    rows = [{"text": f"the {word}", "label": "ab"[n % 2], **tags, **marks} for n, word in enumerate(WORDS * 4)]
    judged = [
        {**row, "text": f"{row['text']} {n}", "answer": "accept" if n else "reject"} for n, row in enumerate(rows)
    ]
    told = "1 row was left out: the annotator did not accept the row (1)."
    assert told in warnings(tmp_path, judged, task)
    plain = [{key: cell for key, cell in row.items() if key not in marks} for row in judged]
    assert told not in warnings(tmp_path, plain, task)


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("<image>\nWhat is in the", "10 of 10 training prompts hold <image>, a place for what a model of text"),
        ("\n\nHuman: Where is the {}?\n\nAssistant:", "10 of 10 training prompts are dialogues as text"),
        ("Is a Human: or an Assistant: by the", None),
    ],
)
def test_prompts_that_hold_the_markup_of_others_are_told(tmp_path: Path, prompt: str, words: str | None) -> None:
    rows = [
        {"prompt": prompt.format(word) if "{}" in prompt else f"{prompt} {word}?", "completion": f"{word}s"}
        for word in WORDS
    ]
    told = [line for line in warnings(tmp_path, rows) if "training prompts" in line]
    assert len(told) == (1 if words else 0)
    assert all(line.startswith(words or "") for line in told)
