"""Rows that a chat template can't write, or not in full: bad rows with file and line, or told in the report."""

from collections.abc import Callable
from typing import Any

import pytest
from chat_templates import ALTERNATING, CHATML, SINGLE_CALL
from transformers import PreTrainedTokenizerBase

from finetune_api.failures import TooManyBadRows
from finetune_api.spec import Spec
from finetune_api.tasks import Task
from finetune_trainer.data import Prepared
from finetune_trainer.data.tokenising.job_prompts import check_chats

Make = Callable[..., PreTrainedTokenizerBase]
Read = Callable[..., Prepared]
CALL = {"type": "function", "function": {"name": "get_weather", "arguments": {"city": "Paris"}}}
TOOLS = [{"type": "function", "function": {"name": "get_weather"}}]


def said(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def row(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"messages": list(messages), **more}


PLAIN = row(said("user", "Hi"), said("assistant", "Hello"))


def spec(task: Task, ratio: float, **data: Any) -> Spec:
    return Spec.model_validate(
        {
            "task": task,
            "model": {"uri": "file:///m"},
            "data": {"train": [{"uri": "file:///rows.jsonl"}], "maxBadRowRatio": ratio, **data},
            "output": {"uri": "file:///o"},
        }
    )


def checked(
    read: Read, rows: list[dict[str, Any]], tokenizer: PreTrainedTokenizerBase, task: Task = Task.CAUSAL_LM, **data: Any
) -> Prepared:
    ratio = data.pop("ratio", 0.0)
    return check_chats(read(rows, task), spec(task, ratio, **data), tokenizer)


REFUSED = [
    (ALTERNATING, row(said("user", "a"), said("user", "b"), said("assistant", "c")), "roles must alternate"),
    (ALTERNATING, row(said("system", "a"), said("user", "b"), said("assistant", "c")), "roles must alternate"),
    (SINGLE_CALL, row(said("user", "a"), said("assistant", None, tool_calls=[CALL, CALL])), "one tool call at a time"),
    (ALTERNATING, row(said("user", "a"), said("assistant", "b", tool_calls=[CALL])), "never writes tool_calls"),
    (ALTERNATING, {**PLAIN, "tools": TOOLS}, "never writes tools"),
    (ALTERNATING, row(said("user", "a"), said("assistant", "b", thinking="hm")), "never writes thinking"),
]


@pytest.mark.parametrize(("template", "bad", "reason"), REFUSED)
def test_what_a_template_cant_write_is_a_bad_row(
    make_tokenizer: Make, read: Read, template: str, bad: dict[str, Any], reason: str
) -> None:
    tokenizer = make_tokenizer("bpe", template)
    with pytest.raises(TooManyBadRows) as caught:
        checked(read, [PLAIN, PLAIN, bad], tokenizer)
    assert reason in caught.value.problems[1].message
    assert caught.value.problems[1].where.endswith("rows.jsonl:3")
    found = checked(read, [PLAIN, PLAIN, bad], tokenizer, ratio=0.4)
    assert (len(found.splits["train"]), found.report.bad_rows, found.report.splits["train"].rows) == (2, 1, 2)
    assert found.report.bad_row_examples[0].place.line == 3
    assert any("rows.jsonl:3 first" in warning for warning in found.report.warnings)


def test_rows_that_were_bad_before_count_as_well(make_tokenizer: Make, read: Read) -> None:
    rows = [*[PLAIN] * 8, REFUSED[0][1], {"messages": "broken"}]
    prepared = read(rows, maxBadRowRatio=0.15)
    with pytest.raises(TooManyBadRows, match=r"2 of 10 rows"):
        check_chats(prepared, spec(Task.CAUSAL_LM, 0.15), make_tokenizer("bpe", ALTERNATING))


@pytest.mark.parametrize("task", [Task.PREFERENCE, Task.REWARD_MODEL])
def test_pairs_are_checked_with_both_answers(make_tokenizer: Make, read: Read, task: Task) -> None:
    asked = [said("user", "Hi")]
    good = {"prompt": asked, "chosen": [said("assistant", "a")], "rejected": [said("assistant", "b")]}
    bad = {**good, "rejected": [said("assistant", "b", tool_calls=[CALL])]}
    with pytest.raises(TooManyBadRows, match="never writes tool_calls"):
        checked(read, [good, good, bad], make_tokenizer("bpe", ALTERNATING), task)


def test_prompts_of_policies_are_checked(make_tokenizer: Make, read: Read) -> None:
    bad = row(said("user", "a"), said("user", "b"))
    with pytest.raises(TooManyBadRows, match="refuses the messages"):
        checked(read, [PLAIN, PLAIN, bad], make_tokenizer("bpe", ALTERNATING), Task.POLICY_OPTIMIZATION)


def test_ordinary_chats_are_told_nothing(make_tokenizer: Make, read: Read) -> None:
    call = said("assistant", None, tool_calls=[CALL])
    rows = [PLAIN, row(said("user", "Hi"), call, said("tool", "5"), said("assistant", "5"), tools=TOOLS)]
    report = checked(read, rows, make_tokenizer("bpe", CHATML)).report
    assert (report.bad_rows, report.warnings, report.unused_keys) == (0, [], {})


def test_ids_are_listed_and_names_are_told(make_tokenizer: Make, read: Read) -> None:
    call = said("assistant", None, tool_calls=[CALL])
    turns = [said("user", "Hi", name="Ann"), call, said("tool", "5", tool_call_id="c0"), said("assistant", "5", id=7)]
    report = checked(read, [row(*turns), PLAIN], make_tokenizer("bpe", CHATML)).report
    assert report.unused_keys == {"name": 1, "tool_call_id": 1, "id": 1}
    (warning,) = report.warnings
    assert "writes no name of 1 row" in warning


def test_tools_that_the_system_prompt_describes_may_be_left_out(make_tokenizer: Make, read: Read) -> None:
    template = CHATML.partition("{%- for m")[1] + CHATML.partition("{%- for m")[2]
    told = row(
        said("system", "You have get_weather(city)."), said("user", "Hi"), said("assistant", "Hello"), tools=TOOLS
    )
    assert checked(read, [told, PLAIN], make_tokenizer("bpe", template)).report.bad_rows == 0


def test_reasoning_that_a_template_drops_by_itself_is_told(make_tokenizer: Make, read: Read) -> None:
    template = CHATML.replace("if m.reasoning_content", "if m.reasoning_content and loop.last")
    turns = [
        said("user", "a"),
        said("assistant", "b", reasoning_content="hm"),
        said("user", "c"),
        said("assistant", "d"),
    ]
    report = checked(read, [row(*turns), PLAIN], make_tokenizer("bpe", template)).report
    assert report.bad_rows == 0
    assert any("reasoning_content" in warning for warning in report.warnings)


def test_content_that_a_template_drops_beside_a_call_is_told(make_tokenizer: Make, read: Read) -> None:
    turns = [said("user", "a"), said("assistant", "Let me look.", tool_calls=[CALL])]
    report = checked(read, [row(*turns), PLAIN], make_tokenizer("bpe", SINGLE_CALL)).report
    assert any("content beside tool_calls" in warning for warning in report.warnings)


def test_a_call_is_expected_as_the_template_writes_it(make_tokenizer: Make, read: Read) -> None:
    rows = [row(said("user", "a"), said("assistant", None, tool_calls=[CALL])), PLAIN]
    labels = checked(read, rows, make_tokenizer("bpe", CHATML)).splits["train"].labels
    assert labels == ['<tool_call>"get_weather"{"city": "Paris"}</tool_call>', "Hello"]


def test_prompts_without_a_chat_template_can_have_no_tools(make_tokenizer: Make, read: Read) -> None:
    rows = [{"prompt": "a", "completion": "b", "tools": TOOLS}] * 2
    with pytest.raises(TooManyBadRows, match="tools need a chat template"):
        checked(read, rows, make_tokenizer("bpe"))
