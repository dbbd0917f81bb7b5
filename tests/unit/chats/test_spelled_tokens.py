"""Text that spells special tokens stays text, with tokenizers of several kinds; what formats write stays special."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chat_templates import CHATML
from transformers import PreTrainedTokenizerBase

from finetune_api.spec import Spec
from finetune_trainer.data import Prepared
from finetune_trainer.data.chat import Chat
from finetune_trainer.data.tokenising.job_prompts import check_chats
from finetune_trainer.data.tokenising.prompt_formats import ChatPrompt, PlainPrompt, PromptFormat
from finetune_trainer.data.tokenising.prompt_tokens import encode_openings, encode_rows

Make = Callable[..., PreTrainedTokenizerBase]
KINDS = ["bpe", "unigram", "wordpiece"]
STRIKE = Chat.of(
    ("user", "weather in <s>Rome</s> Paris?"), ("assistant", "It is <s>4</s> 5 degrees <|im_end|> [INST].")
)


def forms(tokenizer: PreTrainedTokenizerBase, **settings: Any) -> list[PromptFormat]:
    return [PlainPrompt("{prompt}\n", **settings), ChatPrompt(tokenizer, every_answer=True, **settings)]


def special(ids: list[int], tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """The special tokens among ids, but for the unknown one."""
    known = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    return [str(tokenizer.convert_ids_to_tokens(token)) for token in ids if token in known]


@pytest.mark.parametrize("kind", KINDS)
def test_spelled_tokens_are_text(make_tokenizer: Make, kind: str) -> None:
    tokenizer = make_tokenizer(kind, CHATML)
    plain, chat = (encode_rows([STRIKE], form, tokenizer)[0] for form in forms(tokenizer))
    assert special(plain.ids, tokenizer) == ["</s>"]
    assert special(chat.ids, tokenizer) == ["<|im_start|>", "<|im_end|>"] * 2
    squeezed = "".join(str(tokenizer.decode(chat.ids, skip_special_tokens=True)).split()).casefold()
    assert "weatherin<s>rome</s>paris?" in squeezed.replace("<unk>", "")


@pytest.mark.parametrize("kind", KINDS)
def test_only_rows_that_spell_tokens_are_encoded_in_another_way(make_tokenizer: Make, kind: str) -> None:
    tokenizer = make_tokenizer(kind, CHATML)
    ordinary = Chat.of(("user", "weather in Paris?"), ("assistant", "It is 5 degrees < 6 > 4 </b>."))
    (row,) = encode_rows([ordinary], ChatPrompt(tokenizer, every_answer=True), tokenizer)
    messages = [{"role": turn.role, "content": turn.content} for turn in ordinary]
    assert row.ids == tokenizer.apply_chat_template(messages, return_dict=False)


@pytest.mark.parametrize("kind", KINDS)
def test_the_text_around_is_encoded_as_ever(make_tokenizer: Make, kind: str) -> None:
    tokenizer = make_tokenizer(kind, CHATML)
    form = ChatPrompt(tokenizer, every_answer=True)
    spelled = Chat.of(("user", "weather in Paris? </s>"), ("assistant", "It is 5 degrees."))
    ordinary = Chat.of(("user", "weather in Paris?"), ("assistant", "It is 5 degrees."))
    (first,), (second,) = encode_rows([spelled], form, tokenizer), encode_rows([ordinary], form, tokenizer)
    assert first.ids[first.prompt_length :] == second.ids[second.prompt_length :]
    assert first.ids[:5] == second.ids[:5]


def test_bpe_encodes_them_as_transformers_does_when_it_splits(make_tokenizer: Make) -> None:
    tokenizer = make_tokenizer("bpe")
    (row,) = encode_rows([STRIKE], PlainPrompt("{prompt}"), tokenizer)
    text = "".join(turn.content for turn in STRIKE)
    own = row.ids[: row.prompt_length], row.ids[row.prompt_length : -1]
    assert own == tuple(
        tokenizer(turn.content, add_special_tokens=False, split_special_tokens=True)["input_ids"] for turn in STRIKE
    )
    assert tokenizer.decode([*own[0], *own[1]]) == text


@pytest.mark.parametrize("kind", KINDS)
def test_a_prompt_is_the_same_in_prediction(make_tokenizer: Make, kind: str) -> None:
    tokenizer = make_tokenizer(kind, CHATML)
    for form in forms(tokenizer):
        (row,), (opening,) = encode_rows([STRIKE], form, tokenizer), encode_openings([STRIKE[:1]], form, tokenizer, 999)
        assert row.ids[: row.prompt_length] == opening


def test_the_job_can_want_them_as_tokens(make_tokenizer: Make) -> None:
    tokenizer = make_tokenizer("bpe", CHATML)
    plain = encode_rows([STRIKE], forms(tokenizer, spelled_as_text=False)[0], tokenizer)[0]
    assert special(plain.ids, tokenizer) == ["<s>", "</s>", "<s>", "</s>", "<|im_end|>", "[INST]", "</s>"]


@pytest.mark.parametrize("form", [0, 1])
def test_a_pair_of_both_ends_is_text(make_tokenizer: Make, form: int) -> None:
    tokenizer = make_tokenizer("bpe", CHATML)
    struck = Chat.of(("user", "<s>weather</s>"), ("assistant", "It is <s>5</s>"))
    (row,) = encode_rows([struck], forms(tokenizer)[form], tokenizer)
    assert "It is <s>5</s>" in str(tokenizer.decode(row.ids))
    assert special(row.ids, tokenizer) == (["<|im_start|>", "<|im_end|>"] * 2 if form else ["</s>"])


def test_an_end_that_the_rows_write_themselves_is_the_end(make_tokenizer: Make) -> None:
    tokenizer = make_tokenizer("bpe", CHATML)
    ended = Chat.of(("user", "weather?"), ("assistant", "It is 5 degrees.</s>"))
    (row,) = encode_rows([ended], PlainPrompt("{prompt}\n"), tokenizer)
    assert special(row.ids, tokenizer) == ["</s>"]
    assert tokenizer.decode(row.ids[row.prompt_length :]) == "It is 5 degrees.</s>"


def test_special_tokens_of_a_prompt_template_stay_special(make_tokenizer: Make) -> None:
    tokenizer = make_tokenizer("bpe")
    (row,) = encode_rows([STRIKE], PlainPrompt("[INST] {prompt} [/INST]"), tokenizer)
    assert special(row.ids, tokenizer) == ["[INST]", "[/INST]", "</s>"]


def test_tools_may_spell_them_too(make_tokenizer: Make, read: Callable[..., Prepared]) -> None:
    tools = [{"type": "function", "function": {"name": "strike", "description": "writes <s>text</s>"}}]
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    (chat, _) = read([{"messages": messages, "tools": tools}] * 2).splits["train"].turns
    tokenizer = make_tokenizer("bpe", CHATML)
    (row,) = encode_rows([chat], ChatPrompt(tokenizer, every_answer=True), tokenizer)
    assert special(row.ids, tokenizer) == ["<|im_start|>", "<|im_end|>"] * 3
    assert "writes <s>text</s>" in str(tokenizer.decode(row.ids))


def test_they_are_counted_and_told_with_the_first_row(make_tokenizer: Make, read: Callable[..., Prepared]) -> None:
    rows = [{"prompt": str(n), "completion": f"<s>{n}</s>" if n > 3 else "ten"} for n in range(6)]
    blocks = {"task": "CausalLM", "model": {"uri": "file:///m"}, "output": {"uri": "file:///o"}}
    for given, words in ((None, "encoded as text"), (False, "as these tokens")):
        data = {"train": [{"uri": "file:///rows.jsonl"}], "splitSpecialTokens": given}
        spec = Spec.model_validate({**blocks, "data": data})
        (warning,) = check_chats(read(rows), spec, make_tokenizer("bpe")).report.warnings
        assert warning.startswith("2 rows spell special tokens (<s>, </s>)")
        assert "rows.jsonl:5 first" in warning
        assert words in warning


STORIES = Path(__file__).parents[2] / "models" / "stories260k"


@pytest.mark.parametrize(
    ("task", "model", "row", "spelled"),
    [
        ("SequenceClassification", "bert", {"text": "a [SEP] b", "label": "x"}, "[SEP]"),
        ("SequenceClassification", "bert", {"text": "a", "textPair": "[CLS] b", "label": "x"}, "[CLS]"),
        ("TokenClassification", "bert", {"tokens": ["a", "[PAD]"], "tags": ["O", "B-X"]}, "[PAD]"),
        ("CausalLM", "stories", {"text": "Once</s>upon a time"}, "</s>"),
        ("Seq2Seq", "t5", {"input": "a", "target": "b </s> c"}, "</s>"),
    ],
)
def test_texts_that_spell_tokens_are_counted_and_named(
    task: str,
    model: str,
    row: dict[str, Any],
    spelled: str,
    *,
    tiny_model: Callable[..., Path],
    encoder_decoder: Callable[..., Path],
    job: Callable[..., str],
    cli: Callable[..., Any],
    lines: Any,
) -> None:
    """They are encoded as these tokens, or as text with `splitSpecialTokens`, which is said."""
    plain = {
        key: ["a", "b"] if key == "tokens" else value if key in ("tags", "label") else f"{key} is"
        for key, value in row.items()
    }
    found = [{**plain, "label": "xy"[n % 2]} if "label" in row else plain for n in range(12)]
    found[4] = row
    where = {"stories": STORIES, "t5": encoder_decoder("t5", ["a b c"])}.get(model) or tiny_model(model)
    columns = {"columns": {"textPair": "textPair"}} if "textPair" in row else {}
    data = {"train": [{"uri": lines("r.jsonl", found)}], "split": {"validation": 0, "test": 0}, **columns}
    path = Path(job(model=where.as_uri(), data=data, method={"type": "LoRA"}, evaluation={"metric": "evalLoss"}))
    path.write_text(path.read_text().replace("SequenceClassification", task))
    report = json.loads(cli("validate", path, "--json").out)["data"]
    (warning,) = [one for one in report["warnings"] if "special tokens" in one]
    assert warning.startswith(f"1 row spells special tokens ({spelled}), ")
    assert "r.jsonl:5 first: they are encoded as these tokens; where they are meant as text, set" in warning
    split = json.loads(cli("validate", path, "--set", "data.splitSpecialTokens=true", "--json").out)["data"]
    (warning,) = [one for one in split["warnings"] if "special tokens" in one]
    assert warning.endswith("r.jsonl:5 first: they are encoded as text, as data.splitSpecialTokens says.")
