"""Prompts and chats: which tokens are learned, and what is cut."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from finetune_api.failures import ModelUnsuitable, SpecInvalid
from finetune_trainer.data.chat import Chat
from finetune_trainer.data.tokenising.prompt_formats import ChatPrompt, PlainPrompt, PromptFormat, prompt_format
from finetune_trainer.data.tokenising.prompt_tokens import EncodedRow, encode_openings, encode_rows, tokenise_prompts
from finetune_trainer.data.tokenising.tokens import IGNORE_INDEX

ASKED = Chat.of(("user", "Who ran?"), ("assistant", "Lily ran."))
CHAT = Chat.of(*ASKED, ("user", "And then?"), ("assistant", "Tom ran."))


def learned(rows: list[Chat], form: PromptFormat, tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """The learned tokens of each row, decoded; special tokens show."""
    tokens = tokenise_prompts(rows, form, tokenizer, 512, everything=False)
    assert tokens.labels is not None
    parts = (tokens.labels[a:b] for a, b in zip(tokens.offsets, tokens.offsets[1:], strict=False))
    return [tokenizer.decode(part[part != IGNORE_INDEX].tolist()) for part in parts]


def test_a_completion_and_its_end_are_learned(stories: PreTrainedTokenizerBase) -> None:
    assert learned([ASKED], PlainPrompt("Q: {prompt}\nA: "), stories) == ["Lily ran.</s>"]


@pytest.mark.parametrize(
    "turns",
    [
        ASKED,
        Chat.of(("user", "¿Quién corrió?"), ("assistant", "Corrió Lucía.")),
        Chat.of(("user", "谁跑了"), ("assistant", "小明跑了。")),
    ],
)
def test_what_a_prompt_begins_with_is_what_prediction_gives(stories: PreTrainedTokenizerBase, turns: Chat) -> None:
    form = PlainPrompt("{prompt}\n")
    (row,), (opening,) = encode_rows([turns], form, stories), encode_openings([turns[:-1]], form, stories, 512)
    assert row.ids[: row.prompt_length] == opening
    assert stories.decode(row.ids[row.prompt_length :], skip_special_tokens=True).strip() == turns[-1].content


def test_a_token_across_the_border_is_not_joined(tiny_model: Callable[..., Path]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model("gpt2"))
    joined = tokenizer("The printer", add_special_tokens=False)["input_ids"]
    form = PlainPrompt("{prompt}")
    ((row),) = encode_rows([Chat.of(("user", "The pri"), ("assistant", "nter"))], form, tokenizer)
    assert row.ids[: row.prompt_length] == tokenizer("The pri", add_special_tokens=False)["input_ids"]
    assert row.ids[:-1] != joined
    assert tokenizer.decode(row.ids[row.prompt_length : -1]) == "nter"


def test_all_answers_of_a_chat_are_learned_with_their_ends(chatty: PreTrainedTokenizerBase) -> None:
    form = prompt_format(chatty, None, is_chat=True, every_answer=True)
    assert [text.split() for text in learned([CHAT], form, chatty)] == [["Lily", "ran.</s>", "Tom", "ran.</s>"]]


def test_only_the_last_answer_is_learned_where_asked_for(chatty: PreTrainedTokenizerBase) -> None:
    form = prompt_format(chatty, None, is_chat=True, every_answer=False)
    assert [text.strip() for text in learned([CHAT], form, chatty)] == ["Tom ran.</s>"]


def test_everything_but_the_first_token_is_learned(chatty: PreTrainedTokenizerBase) -> None:
    form = prompt_format(chatty, None, is_chat=True, every_answer=True)
    tokens = tokenise_prompts([CHAT], form, chatty, 512, everything=True)
    assert tokens.labels is not None
    assert tokens.labels.tolist() == [IGNORE_INDEX, *tokens.ids.tolist()[1:]]


def test_an_answer_without_an_end_of_its_own_gets_one(stories: PreTrainedTokenizerBase) -> None:
    stories.chat_template = (
        "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    assert learned([ASKED], ChatPrompt(stories, every_answer=True), stories) == ["Lily ran.\n</s>"]


def test_a_model_with_a_chat_template_gets_prompts_as_messages(chatty: PreTrainedTokenizerBase) -> None:
    assert isinstance(prompt_format(chatty, None, is_chat=False, every_answer=True), ChatPrompt)
    assert prompt_format(chatty, "{prompt}", is_chat=False, every_answer=True) == PlainPrompt("{prompt}")


def test_a_template_keeps_braces_and_everything_else() -> None:
    form = PlainPrompt('{"q": "{prompt}", "a": {0}')
    assert form.opening(Chat.of(("user", "{prompt} {x}"))) == '{"q": "{prompt} {x}", "a": {0}'


@pytest.mark.causes("ModelUnsuitable")
def test_chats_need_a_chat_template(stories: PreTrainedTokenizerBase) -> None:
    with pytest.raises(ModelUnsuitable, match="no chat template") as caught:
        prompt_format(stories, None, is_chat=True, every_answer=True)
    assert caught.value.problems[0].where == "spec.data.chatTemplate"


def test_a_template_that_rewrites_history_is_refused_unless_the_last_answer_is_enough(
    stories: PreTrainedTokenizerBase,
) -> None:
    stories.chat_template = (
        "{% for m in messages %}<s>{{ m.role }}\n{% if m.role == 'assistant' and loop.last %}(thinks){% endif %}"
        "{{ m.content }}</s>{% endfor %}{% if add_generation_prompt %}<s>assistant\n{% endif %}"
    )
    with pytest.raises(SpecInvalid, match="earlier messages") as caught:
        learned([CHAT], ChatPrompt(stories, every_answer=True), stories)
    assert "lossOn: Completion" in caught.value.problems[0].hint
    assert learned([CHAT], ChatPrompt(stories, every_answer=False), stories) == ["(thinks)Tom ran.</s>"]


@pytest.mark.parametrize("template", ["{% for m in messages %}", "{{ raise_exception('no system, please') }}"])
def test_a_template_that_fails_is_told_as_that(stories: PreTrainedTokenizerBase, template: str) -> None:
    stories.chat_template = template
    with pytest.raises(SpecInvalid, match="can't write messages of user, assistant"):
        learned([ASKED], ChatPrompt(stories, every_answer=True), stories)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(8, 64))
def test_what_is_too_long_loses_the_middle_of_its_prompt_first(prompt: int, answer: int, limit: int) -> None:
    row = EncodedRow(list(range(prompt + answer)), [range(prompt, prompt + answer)])
    cut = row.fitted(limit)
    assert len(cut.ids) == min(limit, prompt + answer)
    assert cut.ids == sorted(set(cut.ids))
    kept_prompt, kept_answer = cut.ids[: cut.prompt_length], cut.ids[cut.prompt_length :]
    assert kept_answer == list(range(prompt, prompt + len(kept_answer)))
    assert kept_answer
    if len(kept_answer) < answer:
        assert len(kept_prompt) == min(prompt, limit // 4)
    if len(kept_prompt) > 1:
        assert (kept_prompt[0], kept_prompt[-1]) == (0, prompt - 1)
    assert sum(label != IGNORE_INDEX for label in cut.labels(everything=False)) >= min(1, len(cut.ids) - 1)


def test_an_earlier_answer_that_is_cut_is_learned_as_far_as_it_is_there() -> None:
    row = EncodedRow(list(range(40)), [range(4, 8), range(10, 30), range(38, 40)])
    cut = row.fitted(16)
    assert cut.ids == [*range(7), *range(31, 40)]
    assert [label for label in cut.labels(everything=False) if label != IGNORE_INDEX] == [4, 5, 6, 38, 39]
