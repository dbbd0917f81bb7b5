"""Layouts of published data sets: read without `data.columns`, to the same chats."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from finetune_api.failures import ColumnMissing, SpecInvalid, TooManyBadRows
from finetune_api.tasks import Task
from finetune_trainer.data import Prepared
from finetune_trainer.data.chat import Chat, Turn
from finetune_trainer.data.preference_pairs import Answers

Read = Callable[..., Prepared]
SHARED = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]
HELLO = Chat.of(("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello"))


def said(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def shared(speaker: str, value: str) -> dict[str, str]:
    return {"from": speaker, "value": value}


ASKED = [said("system", "Be brief."), said("user", "Hi")]
CHATS: dict[str, dict[str, Any]] = {
    "openai": {"messages": [*ASKED, said("assistant", "Hello")]},
    "content parts": {"messages": [*ASKED, said("assistant", [{"type": "text", "text": "Hello"}])]},
    "system column": {"system": "Be brief.", "messages": [ASKED[1], said("assistant", "Hello")]},
    "sharegpt": {"conversations": [shared("system", "Be brief."), shared("human", "Hi"), shared("gpt", "Hello")]},
    "roles in capitals": {"messages": [said("System", "Be brief."), said("User", "Hi"), said("ASSISTANT", "Hello")]},
    "sharegpt, system column": {"system": "Be brief.", "conversations": SHARED},
    "sharegpt as text": {"conversations": json.dumps([shared("system", "Be brief."), *SHARED])},
    "prompt of messages": {"prompt": ASKED, "completion": [said("assistant", "Hello")]},
    "prompt of messages, text": {"prompt": ASKED, "completion": "Hello"},
    "prompt": {"system_prompt": "Be brief.", "prompt": "Hi", "completion": "Hello"},
    "alpaca": {"system": "Be brief.", "instruction": "Hi", "input": "", "output": "Hello"},
    "refusal": {"messages": [*ASKED, said("assistant", None, refusal="Hello")]},
    "nulls": {"messages": [said("system", "Be brief.", name=None), ASKED[1], said("assistant", "Hello", audio=None)]},
}  # fmt: skip


@pytest.mark.parametrize("name", CHATS)
def test_chats_are_read_in_every_layout(read: Read, name: str) -> None:
    assert read([CHATS[name]] * 2).splits["train"].turns[0] == HELLO


@pytest.mark.parametrize("name", CHATS)
def test_chats_are_prompts_with_expected_answers_for_policies(read: Read, name: str) -> None:
    found = read([CHATS[name]] * 2, Task.POLICY_OPTIMIZATION).splits["train"] if "of messages" not in name else None
    if found is not None:
        assert (found.turns[0], str(found.labels[0])) == (HELLO[:2], "Hello")


def test_an_input_of_alpaca_and_its_history_belong_to_the_prompt(read: Read) -> None:
    row = {"instruction": "Add", "input": "2 2", "output": "4", "history": [["Hi", "Hello"], ["And?", "Yes"]]}
    assert read([row] * 2).splits["train"].turns[0] == Chat.of(
        ("user", "Hi"), ("assistant", "Hello"), ("user", "And?"), ("assistant", "Yes"), ("user", "Add\n2 2"),
        ("assistant", "4"),
    )  # fmt: skip


def test_a_system_prompt_can_have_a_column_of_any_name(read: Read) -> None:
    rows = [{"rules": "Be brief.", "prompt": "Hi", "completion": "Hello"}] * 2
    found = read(rows, columns={"system": "rules"})
    assert found.splits["train"].turns[0] == HELLO
    assert found.report.columns["system"] == "rules"
    with pytest.raises(ColumnMissing, match="rulez"):
        read(rows, columns={"system": "rulez"})


def test_a_completion_alone_is_raw_text(read: Read) -> None:
    found = read([{"completion": "Once upon a time"}, {"completion": "there was"}])
    assert found.splits["train"].texts == ["Once upon a time", "there was"]
    assert found.report.columns == {"text": "completion"}


PAIRS: dict[str, dict[str, Any]] = {
    "whole chats": {"chosen": [*ASKED, said("assistant", "Hello")], "rejected": [*ASKED, said("assistant", "What?")]},
    "openai": {
        "input": {"messages": ASKED, "tools": [], "parallel_tool_calls": True},
        "preferred_output": [said("assistant", "Hello")],
        "non_preferred_output": [said("assistant", "What?")],
    },
    "sharegpt": {
        "conversations": [shared("system", "Be brief."), shared("human", "Hi")],
        "chosen": shared("gpt", "Hello"),
        "rejected": shared("gpt", "What?"),
    },
    "orca": {"system": "Be brief.", "question": "Hi", "chosen": "Hello", "rejected": "What?"},
    "alpaca": {"system": "Be brief.", "instruction": "Hi", "input": "", "chosen": "Hello", "rejected": "What?"},
    "prompt and whole chats": {
        "prompt": "Hi",
        "system": "Be brief.",
        "chosen": [said("user", "Hi"), said("assistant", "Hello")],
        "rejected": [said("user", "Hi"), said("assistant", "What?")],
    },
}


@pytest.mark.parametrize("task", [Task.PREFERENCE, Task.REWARD_MODEL])
@pytest.mark.parametrize("name", PAIRS)
def test_pairs_are_read_in_every_layout(read: Read, name: str, task: Task) -> None:
    found = read([PAIRS[name]] * 2, task).splits["train"]
    assert found.turns[0].turns == HELLO[:2].turns
    assert Answers(found.labels[0]).turns == (Turn("assistant", "Hello"), Turn("assistant", "What?"))


def test_dialogues_as_text_are_pairs_of_whole_chats(read: Read) -> None:
    asked = "\n\nHuman: Who ran?\nTell me.\n\nAssistant: Lily.\n\nHuman: And then?\n\nAssistant:"
    found = read([{"chosen": f"{asked} She sat.", "rejected": f"{asked} Human error: none."}] * 2, Task.PREFERENCE)
    assert found.splits["train"].turns[0] == Chat.of(
        ("user", "Who ran?\nTell me."), ("assistant", "Lily."), ("user", "And then?")
    )
    assert Answers(found.splits["train"].labels[0]).rejected == "Human error: none."


def test_a_prompt_that_dialogues_as_text_repeat_is_read_once(read: Read) -> None:
    asked = "\n\nHuman: Who ran?\n\nAssistant:"
    rows = [{"prompt": asked, "chosen": f"{asked} Lily.", "rejected": f"{asked} Nobody."}] * 2
    found = read(rows, Task.PREFERENCE).splits["train"]
    assert found.turns[0] == Chat.of(("user", "Who ran?"))
    assert Answers(found.labels[0]).turns == (Turn("assistant", "Lily."), Turn("assistant", "Nobody."))


@pytest.mark.parametrize("task", [Task.CAUSAL_LM, Task.PREFERENCE])
def test_single_judged_answers_are_refused_with_what_to_do(read: Read, task: Task) -> None:
    rows = [{"prompt": "a", "completion": "b", "label": True}, {"prompt": "a", "completion": "c", "label": False}]
    with pytest.raises(SpecInvalid, match="KTO") as caught:
        read(rows, task)
    assert "chosen, rejected" in caught.value.problems[0].hint
    assert caught.value.problems[0].where.endswith("rows.jsonl:1")


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "a", "completion": "b", "label": 1},
        {"prompt": "a", "completion": "b", "label": "False"},
        {"messages": [said("user", "a"), said("assistant", "b")], "label": False},
        {"conversations": [shared("human", "a"), shared("gpt", "b")], "kto_tag": "true"},
    ],
)
def test_judgements_are_told_however_they_are_written(read: Read, row: dict[str, Any]) -> None:
    with pytest.raises(SpecInvalid, match="KTO"):
        read([row] * 2)
    names = {"messages": "messages"} if "messages" in row else {"prompt": "prompt", "completion": "completion"}
    if "conversations" not in row:
        assert len(read([row] * 2, columns=names).splits["train"])


@pytest.mark.parametrize(
    "row",
    [
        {"message_id": "m1", "parent_id": None, "text": "Hi", "role": "prompter"},
        {"conversation_id": 1, "role": "User", "content": "Hi"},
        {"id": 1, "from": "gpt", "value": "Hello"},
    ],
)
def test_single_messages_are_refused_with_what_to_do(read: Read, row: dict[str, Any]) -> None:
    with pytest.raises(SpecInvalid, match="single messages of chats") as caught:
        read([row] * 2)
    assert "join the messages of each conversation" in caught.value.problems[0].hint
    name = next(name for name in ("text", "content", "value") if name in row)
    assert len(read([row, {**row, name: "other"}], columns={"text": name}).splits["train"]) == 2


def test_a_column_of_roles_that_are_no_speakers_harms_nothing(read: Read) -> None:
    rows = [{"text": f"the {n}th", "role": "editor"} for n in range(2)]
    assert len(read(rows).splits["train"]) == 2


def test_a_label_that_is_no_judgement_harms_nothing(read: Read) -> None:
    rows = [{"prompt": str(n), "completion": "b", "label": "greeting"} for n in range(3)]
    assert len(read(rows).splits["train"]) == 3


@pytest.mark.parametrize(
    ("task", "row", "hint"),
    [
        (Task.PREFERENCE, {"conversations": [shared("human", "Hi"), shared("gpt", "a")]}, "CausalLM learns from them"),
        (Task.CAUSAL_LM, {"chosen": "a", "rejected": "b"}, "Preference and RewardModel learn from them"),
        (Task.CAUSAL_LM, {"foo": "a"}, "{messages: ...} or {prompt: ..., completion: ...}"),
        (Task.PREFERENCE, {"foo": "a"}, "{prompt: ..., chosen: ..., rejected: ...}"),
        (Task.SEQ2SEQ, {"foo": "a"}, "{input: ..., target: ...}"),
    ],
)
def test_remedies_name_the_roles_of_the_task(read: Read, task: Task, row: dict[str, Any], hint: str) -> None:
    with pytest.raises(ColumnMissing) as caught:
        read([row] * 2, task)
    assert hint in caught.value.problems[-1].hint
    assert "label" not in caught.value.problems[-1].hint


CALL = {"function": {"name": "f", "arguments": "x"}}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"messages": [said("user", [{"type": "image_url", "image_url": {"url": "x"}}])]}, "no text but image_url"),
        ({"messages": [said("user", [{"type": "input_audio", "input_audio": {}}])]}, "no text but input_audio"),
        ({"messages": [said("user", "a"), said("assistant", "b", weight=0.5)]}, "weight of a message is neither"),
        ({"messages": [said("user", "a"), said("assistant", "b", weight=0)]}, "has weight 0"),
        ({"messages": [said("user", "a", weight=1), said("assistant", "b")]}, "weight 1 on a message of user"),
        ({"messages": [said("user", "a"), said("assistant", "b", refusal="no")]}, "content and a refusal"),
        ({"messages": [said("assistant", "Hello!"), said("user", "a"), said("assistant", "b")]}, "begins with the"),
        ({"system": "x", "messages": [*ASKED, said("assistant", "b")]}, "two system prompts"),
        ({"images": ["x.png"], "messages": [said("user", "a"), said("assistant", "b")]}, "a row holds images"),
        ({"image": "coco/1.jpg", "messages": [said("user", "a"), said("assistant", "b")]}, "a row holds image"),
        ({"video": "https://x/y", "messages": [said("user", "a"), said("assistant", "b")]}, "a row holds video"),
        ({"history": ["a", "b"], "messages": [said("user", "a"), said("assistant", "b")]}, "no list of exchanges"),
        ({"tools": "get_weather", "messages": [said("user", "a"), said("assistant", "b")]}, "tools is no JSON"),
        ({"chat_template_kwargs": {"chat_template": "x"}, "messages": [said("user", "a"), said("assistant", "b")]},
         "chat_template_kwargs can't set chat_template"),
        ({"messages": [said("user", "a"), said("assistant", None, tool_calls=[CALL])]},
         "no JSON object"),
    ],
)  # fmt: skip
def test_what_cant_be_used_is_told_by_file_and_line(read: Read, row: dict[str, Any], reason: str) -> None:
    with pytest.raises(TooManyBadRows) as caught:
        read([CHATS["openai"], row])
    assert reason in caught.value.problems[1].message
    assert caught.value.problems[1].where.endswith("rows.jsonl:2")


def test_chats_that_differ_in_tools_alone_are_no_duplicates(read: Read) -> None:
    tools = [[{"type": "function", "function": {"name": name}}] for name in ("one", "two")]
    rows = [{**CHATS["openai"], "tools": tools[0]}, {**CHATS["openai"], "tools": tools[1]}]
    assert len(read([*rows, rows[0]], clean={}).splits["train"]) == 2
