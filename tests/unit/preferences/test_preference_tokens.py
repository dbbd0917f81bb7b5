"""Pairs as tokens: the same prompt in front of both answers, whatever had to be cut, and labels on answers alone."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from finetune_api.data_report import DataReport
from finetune_api.failures import DataEmpty
from finetune_trainer.data.chat import Chat
from finetune_trainer.data.tokenising.answer_findings import describe_pairs
from finetune_trainer.data.tokenising.answer_tokens import tokenise_answers
from finetune_trainer.data.tokenising.prompt_formats import PLAIN_TEMPLATE, PlainPrompt, prompt_format
from finetune_trainer.data.tokenising.tokens import IGNORE_INDEX, Tokens

STORIES = Path(__file__).parents[2] / "models" / "stories260k"
FORM = PlainPrompt(PLAIN_TEMPLATE)
PROMPT = "Once upon a time there was a little girl who had a red ball, a blue ball and a green ball. Which one is red?"


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerBase:
    """The tokenizer of a small real Llama."""
    return AutoTokenizer.from_pretrained(STORIES)


def chats(*pairs: tuple[str, str], prompt: str = PROMPT) -> list[Chat]:
    return [Chat.of(("user", prompt), ("assistant", answer)) for pair in pairs for answer in pair]


def split(tokens: Tokens, text: int) -> tuple[list[int], list[int]]:
    """Tokens of the prompt and of the answer."""
    part = slice(int(tokens.offsets[text]), int(tokens.offsets[text + 1]))
    ids, labels = tokens.ids[part], tokens.labels[part]  # type: ignore[index]  # there are labels
    start = int(np.flatnonzero(labels != IGNORE_INDEX)[0])
    assert labels[start:].tolist() == ids[start:].tolist()
    return ids[:start].tolist(), ids[start:].tolist()


def test_both_answers_follow_the_same_prompt(tokenizer: PreTrainedTokenizerBase) -> None:
    tokens = tokenise_answers(chats(("The first.", "It is the blue one, I think.")), FORM, tokenizer, 256, a_prompt=2)
    (prompt, chosen), (same, rejected) = split(tokens, 0), split(tokens, 1)
    assert prompt == same
    assert tokenizer.decode(prompt[1:]).strip() == PROMPT
    assert chosen[-1] == rejected[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(chosen, skip_special_tokens=True) == "The first."
    assert (len(tokens), tokens.texts_a_row) == (2, 2)


@pytest.mark.parametrize("limit", [24, 40, 64, 100])
def test_the_longer_answer_says_what_is_left_of_the_prompt(tokenizer: PreTrainedTokenizerBase, limit: int) -> None:
    tokens = tokenise_answers(chats(("Red.", "No. " * 30), ("a b c", "d")), FORM, tokenizer, limit, a_prompt=2)
    assert tokens.lengths.max() == limit
    for pair in (0, 1):
        (prompt, chosen), (same, rejected) = split(tokens, 2 * pair), split(tokens, 2 * pair + 1)
        assert prompt == same
        assert len(prompt) >= limit // 4
        assert min(len(chosen), len(rejected)) > 0
    whole = tokenise_answers(chats(("Red.", "No. " * 30)), FORM, tokenizer, 1000, a_prompt=2)
    assert split(whole, 0)[1] == split(tokens, 0)[1], "the short answer is whole"
    kept = split(tokens, 1)[1]
    assert split(whole, 1)[1][: len(kept)] == kept, "a long answer keeps its beginning"


def test_an_encoder_gets_its_own_frame(tiny_model: Callable[..., Path]) -> None:
    bert = AutoTokenizer.from_pretrained(tiny_model("bert"))
    tokens = tokenise_answers(chats(("a joy", "broke"), prompt="the printer"), FORM, bert, 32, labelled=False)
    assert tokens.labels is None
    first = tokens.ids[: tokens.offsets[1]].tolist()
    assert bert.decode(first) == "[CLS] the printer a joy [SEP]"


def test_equal_content_is_tokenised_once(tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    rows = chats(("Red.", "Blue."), ("Green.", "None."))
    first = tokenise_answers(rows, FORM, tokenizer, 64, a_prompt=2, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    written = file.stat().st_mtime_ns
    again = tokenise_answers(rows, FORM, tokenizer, 64, a_prompt=2, cache=tmp_path)
    assert again.texts_a_row == 2
    assert np.array_equal(first.ids, again.ids)
    assert file.stat().st_mtime_ns == written
    tokenise_answers(rows, FORM, tokenizer, 64, cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2, "single answers are cut in another way"


def report() -> DataReport:
    return DataReport(files=[], rows_read=0, bad_rows=0)


def test_the_report_tells_what_length_gives_away(tokenizer: PreTrainedTokenizerBase) -> None:
    longer = [(f"Number {n} is the red one.", f"Number {n}.") for n in range(40)]
    tokens = tokenise_answers(chats(*longer), FORM, tokenizer, 256, a_prompt=2)
    told = describe_pairs(report(), tokens, tokenizer)
    assert [
        warning
        for warning in told.warnings
        if "In 100% of the training pairs the chosen answer is the longer" in warning
    ]
    assert [piece.learned for piece in told.sample] == [False, True]
    mixed = [pair if n % 2 else pair[::-1] for n, pair in enumerate(longer)]
    tokens = tokenise_answers(chats(*mixed), FORM, tokenizer, 256, a_prompt=2)
    assert describe_pairs(report(), tokens, tokenizer).warnings == []


@pytest.mark.causes("DataEmpty")
def test_pairs_that_differ_behind_the_limit_only_teach_nothing(tokenizer: PreTrainedTokenizerBase) -> None:
    same = ("So it goes. " * 30 + "Red.", "So it goes. " * 30 + "Blue.")
    some = tokenise_answers(chats(same, ("a", "b")), FORM, tokenizer, 48, a_prompt=2)
    assert any(
        "1 training pairs are the same within" in warning
        for warning in describe_pairs(report(), some, tokenizer).warnings
    )
    with pytest.raises(DataEmpty, match=r"of every pair are the same") as failure:
        describe_pairs(report(), tokenise_answers(chats(same), FORM, tokenizer, 48, a_prompt=2), tokenizer)
    assert "raise data.maxLength" in failure.value.problems[0].hint


def test_a_chat_template_writes_pairs_too(tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.chat_template = (
        "{% for m in messages %}<s>{{ m.role }}: {{ m.content }}</s>{% endfor %}"
        "{% if add_generation_prompt %}<s>assistant: {% endif %}"
    )
    form = prompt_format(tokenizer, None, is_chat=True, every_answer=False)
    tokens = tokenise_answers(chats(("Red.", "Blue.")), form, tokenizer, 256, a_prompt=2)
    prompt, answer = split(tokens, 1)
    assert tokenizer.decode(prompt).endswith("assistant: ")
    assert tokenizer.decode(answer) == "Blue.</s>"
