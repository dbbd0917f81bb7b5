"""Chats as tokens: as transformers writes them, with tools and calls, and with labels on what the assistant says."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from chat_templates import ALTERNATING, CHATML, MARKED, SINGLE_CALL
from transformers import PreTrainedTokenizerBase

from finetune_api.tasks import Task
from finetune_trainer.data import Prepared
from finetune_trainer.data.chat import Chat
from finetune_trainer.data.tokenising.answer_tokens import tokenise_pairs
from finetune_trainer.data.tokenising.prompt_formats import ChatPrompt
from finetune_trainer.data.tokenising.prompt_tokens import encode_openings, encode_rows, tokenise_prompts
from finetune_trainer.data.tokenising.stop_tokens import answer_ends
from finetune_trainer.data.tokenising.tokens import IGNORE_INDEX

Make = Callable[..., PreTrainedTokenizerBase]
Read = Callable[..., Prepared]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Weather of a city",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]
ARGUMENTS = {"city": "Paris"}
CALL = {"id": "c0", "type": "function", "function": {"name": "get_weather", "arguments": ARGUMENTS}}
AS_TEXT = {"id": "c0", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'}}


def conversation(call: dict[str, Any], content: str | None) -> list[dict[str, Any]]:
    return [
        {"role": "user", "content": "weather in Paris?"},
        {"role": "assistant", "content": content, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c0", "name": "get_weather", "content": "5 degrees"},
        {"role": "assistant", "content": "It is 5 degrees."},
    ]


def learned(chat: Chat, tokenizer: PreTrainedTokenizerBase, *, everything: bool = False) -> list[str]:
    """The stretches with labels, decoded."""
    form = ChatPrompt(tokenizer, every_answer=not everything)
    tokens = tokenise_prompts([chat], form, tokenizer, 4096, everything=everything)
    assert tokens.labels is not None
    stretches, last = list[list[int]](), -2
    for place, label in enumerate(tokens.labels.tolist()):
        if label == IGNORE_INDEX:
            continue
        if place != last + 1:
            stretches.append([])
        stretches[-1].append(label)
        last = place
    return [str(tokenizer.decode(part)) for part in stretches]


def ids_of(messages: list[dict[str, Any]], tokenizer: PreTrainedTokenizerBase, **more: Any) -> list[int]:
    """What transformers makes of messages."""
    return list(tokenizer.apply_chat_template(messages, return_dict=False, **more))


@pytest.mark.parametrize("kind", ["bpe", "unigram", "wordpiece"])
@pytest.mark.parametrize("content", [None, "", "Let me look."])
@pytest.mark.parametrize("call", [CALL, AS_TEXT, CALL["function"]], ids=["object", "JSON text", "bare"])
@pytest.mark.parametrize("tools", [TOOLS, [TOOLS[0]["function"]]], ids=["tools", "functions"])
def test_tool_calls_are_what_transformers_writes(
    make_tokenizer: Make, read: Read, kind: str, content: str | None, call: dict[str, Any], tools: list[dict[str, Any]]
) -> None:
    tokenizer = make_tokenizer(kind, CHATML)
    name = "tools" if tools is TOOLS else "functions"
    (chat, _) = read([{"messages": conversation(call, content), name: tools}] * 2).splits["train"].turns
    (row,) = encode_rows([chat], ChatPrompt(tokenizer, every_answer=True), tokenizer)
    assert row.ids == ids_of(conversation(CALL, content), tokenizer, tools=TOOLS)
    first, last = learned(chat, tokenizer)
    written = tokenizer.decode(tokenizer('<tool_call>"get_weather"', add_special_tokens=False)["input_ids"])
    assert "".join(str(written).split()) in "".join(first.split())
    assert "<|im_end|>" in first
    assert "".join(last.split()).casefold() == "itis5degrees.<|im_end|>"


def test_sharegpt_calls_are_the_same_as_openai_calls(make_tokenizer: Make, read: Read) -> None:
    turns = [
        {"from": "human", "value": "weather in Paris?"},
        {"from": "function_call", "value": '{"name": "get_weather", "arguments": {"city": "Paris"}}'},
        {"from": "observation", "value": "5 degrees"},
        {"from": "gpt", "value": "It is 5 degrees."},
    ]
    (shared, _) = read([{"conversations": turns, "tools": json.dumps(TOOLS)}] * 2).splits["train"].turns
    tokenizer = make_tokenizer("bpe", CHATML)
    (row,) = encode_rows([shared], ChatPrompt(tokenizer, every_answer=True), tokenizer)
    assert row.ids == ids_of(conversation(CALL, None), tokenizer, tools=TOOLS)


def test_old_function_calls_are_tool_calls(make_tokenizer: Make, read: Read) -> None:
    messages = [
        {"role": "user", "content": "weather in Paris?"},
        {"role": "assistant", "content": None, "function_call": AS_TEXT["function"]},
        {"role": "function", "name": "get_weather", "content": "5 degrees"},
        {"role": "assistant", "content": "It is 5 degrees."},
    ]
    (chat, _) = read([{"messages": messages, "functions": [TOOLS[0]["function"]]}] * 2).splits["train"].turns
    tokenizer = make_tokenizer("bpe", CHATML)
    (row,) = encode_rows([chat], ChatPrompt(tokenizer, every_answer=True), tokenizer)
    assert row.ids == ids_of(conversation(CALL, None), tokenizer, tools=TOOLS)


def test_a_template_that_joins_arguments_as_text_gets_text(make_tokenizer: Make, read: Read) -> None:
    template = CHATML.replace("(c.function.arguments | tojson)", "c.function.arguments")
    (chat, _) = read([{"messages": conversation(AS_TEXT, "Look.")}] * 2).splits["train"].turns
    assert any('{"city": "Paris"}' in part for part in learned(chat, make_tokenizer("bpe", template)))


def test_marks_of_a_template_say_what_is_learned(make_tokenizer: Make, read: Read) -> None:
    tokenizer = make_tokenizer("bpe", MARKED)
    (chat, _) = read([{"messages": conversation(CALL, "Look.")}] * 2).splits["train"].turns
    tokens = tokenise_prompts([chat], ChatPrompt(tokenizer, every_answer=True), tokenizer, 4096, everything=False)
    expected = tokenizer.apply_chat_template(
        conversation(CALL, "Look."), return_dict=True, return_assistant_tokens_mask=True
    )
    mask = [label != IGNORE_INDEX for label in tokens.labels.tolist()]  # type: ignore[union-attr]  # there are labels
    length = len(mask)
    assert tokens.ids.tolist() == expected["input_ids"][:length], "what follows the last answer teaches nothing"
    assert mask == [bool(one) for one in expected["assistant_masks"][:length]]
    assert sum(mask) == sum(expected["assistant_masks"])


def test_marks_serve_where_earlier_messages_change(make_tokenizer: Make, read: Read) -> None:
    template = MARKED.replace("{{ m.content }}", "{% if loop.last %}(thinks){% endif %}{{ m.content }}")
    messages = [{"role": role, "content": text} for role, text in (("user", "a"), ("assistant", "b")) * 2]
    (chat, _) = read([{"messages": messages}] * 2).splits["train"].turns
    assert learned(chat, make_tokenizer("bpe", template)) == ["b<|im_end|>", "(thinks)b<|im_end|>"]


@pytest.mark.parametrize("template", [CHATML, MARKED], ids=["plain", "marked"])
def test_an_answer_of_weight_0_is_read_and_not_learned(make_tokenizer: Make, read: Read, template: str) -> None:
    messages = [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "wrong", "weight": 0},
        {"role": "user", "content": "two"},
        {"role": "assistant", "content": "right", "weight": 1},
        {"role": "user", "content": "three"},
        {"role": "assistant", "content": "never", "weight": 0},
    ]
    (chat, _) = read([{"messages": messages}] * 2).splits["train"].turns
    tokenizer = make_tokenizer("bpe", template)
    assert [part.strip() for part in learned(chat, tokenizer)] == ["right<|im_end|>"]
    everything = "".join(learned(chat, tokenizer, everything=True))
    assert "wrong" not in everything
    assert "one" in everything
    assert "right" in everything


def test_reasoning_is_written_under_the_name_that_the_template_has(make_tokenizer: Make, read: Read) -> None:
    for name in ("reasoning_content", "thinking", "reasoning"):
        messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello", name: "be kind"}]
        (chat, _) = read([{"messages": messages}] * 2).splits["train"].turns
        assert learned(chat, make_tokenizer("bpe", CHATML)) == ["<think>be kind</think>Hello<|im_end|>\n"]


def test_a_template_that_joins_parts_gets_them(make_tokenizer: Make, read: Read) -> None:
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": parts}]
    (chat, _) = read([{"messages": messages}] * 2).splits["train"].turns
    joins = CHATML.replace(
        "{%- if m.content %}{{ m.content }}{% endif %}",
        "{%- if m.content is string %}{{ m.content }}"
        "{% else %}{% for p in m.content %}{{ p.text }}{% endfor %}{% endif %}",
    ).replace("+ m.content +", "+ (m.content if m.content is string else m.content | map(attribute='text') | join) +")
    assert learned(chat, make_tokenizer("bpe", joins)) == ["onetwo<|im_end|>\n"]
    assert learned(chat, make_tokenizer("bpe", CHATML)) == ["one\ntwo<|im_end|>\n"]


def test_answers_of_pairs_can_be_tool_calls(make_tokenizer: Make, read: Read) -> None:
    row = {
        "input": {"messages": conversation(CALL, None)[:1], "tools": TOOLS},
        "preferred_output": [conversation(AS_TEXT, None)[1]],
        "non_preferred_output": [{"role": "assistant", "content": "No idea."}],
    }
    tokenizer = make_tokenizer("bpe", CHATML)
    examples = read([row] * 2, Task.PREFERENCE).splits["train"]
    tokens = tokenise_pairs(examples, ChatPrompt(tokenizer, every_answer=False), tokenizer, 4096)
    chosen = tokens.ids[tokens.offsets[0] : tokens.offsets[1]].tolist()
    assert chosen == ids_of(conversation(CALL, None)[:2], tokenizer, tools=TOOLS)


def test_what_a_template_writes_behind_an_answer_ends_it(make_tokenizer: Make) -> None:
    tokenizer = make_tokenizer("bpe", CHATML)
    im_end, eos = (tokenizer.convert_tokens_to_ids(token) for token in ("<|im_end|>", "</s>"))
    assert answer_ends(ChatPrompt(tokenizer, every_answer=True), tokenizer) == [eos, im_end]
    assert answer_ends(ChatPrompt(make_tokenizer("bpe", ALTERNATING), every_answer=True), tokenizer) == [eos]
    inside = "{% for m in messages %}<|im_start|>{{ m.content }}</s>{% endfor %}"
    assert answer_ends(ChatPrompt(make_tokenizer("bpe", inside), every_answer=True), tokenizer) == [eos]


@pytest.mark.parametrize("kind", ["unigram", "wordpiece"])
@pytest.mark.parametrize("answer", ["It is 5 degrees.", "It is 5 \u4eba", "It is <unk>"])
def test_an_answer_ends_whatever_its_last_signs_are(make_tokenizer: Make, kind: str, answer: str) -> None:
    tokenizer = make_tokenizer(kind, "{% for m in messages %}{{ m.role }}: {{ m.content }} {% endfor %}"
                                     "{% if add_generation_prompt %}assistant: {% endif %}")  # fmt: skip
    chat = Chat.of(("user", "weather?"), ("assistant", answer))
    (row,) = encode_rows([chat], ChatPrompt(tokenizer, every_answer=True), tokenizer)
    assert row.ids[-1] == tokenizer.eos_token_id
    assert row.ids.count(tokenizer.eos_token_id) == 1


def test_prompts_of_prediction_begin_rows_of_training(make_tokenizer: Make, read: Read) -> None:
    tokenizer = make_tokenizer("bpe", SINGLE_CALL)
    (chat, _) = read([{"messages": conversation(CALL, None)}] * 2).splits["train"].turns
    form = ChatPrompt(tokenizer, every_answer=False)
    (row,), (opening,) = encode_rows([chat], form, tokenizer), encode_openings([chat[:-1]], form, tokenizer, 4096)
    assert row.ids[: row.prompt_length] == opening
