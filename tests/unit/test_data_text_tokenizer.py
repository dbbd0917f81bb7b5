"""`data.splitSpecialTokens` of texts, pairs, words, targets and raw text, against what tokenizers do themselves."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from finetune_api.data_report import Place
from finetune_trainer.data.labels import NO_LABELS
from finetune_trainer.data.prepared import Examples
from finetune_trainer.data.tokenising.raw_tokens import tokenise_stream, tokenise_windows
from finetune_trainer.data.tokenising.seq2seq_tokens import Limits, tokenise_both
from finetune_trainer.data.tokenising.text_tokenizer import text_tokenizer
from finetune_trainer.data.tokenising.tokens import Tokens, tokenise
from finetune_trainer.data.tokenising.word_tokens import seen_words, tokenise_words, word_tokenizer

STORIES = Path(__file__).parents[1] / "models" / "stories260k"
SPELLED = {"bert": "[SEP]", "roberta": "</s>", "gpt2": "<|endoftext|>", "llama": "<|endoftext|>", "t5": "</s>"}
KINDS = sorted(SPELLED)


@pytest.fixture
def load(tiny_model: Callable[..., Path], encoder_decoder: Callable[..., Path]) -> Callable[[str], Any]:
    def call(kind: str) -> PreTrainedTokenizerBase:
        folder = encoder_decoder("t5", ["The printer is fine"]) if kind == "t5" else tiny_model(kind)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
        return tokenizer

    return call


def ids_of(tokens: Tokens, row: int = 0) -> list[int]:
    found: list[int] = tokens.ids[tokens.offsets[row] : tokens.offsets[row + 1]].tolist()
    return found


def without(ids: list[int], tokenizer: PreTrainedTokenizerBase) -> str:
    """The text of ids, without white space and what is around it."""
    text = str(tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))
    return "".join(text.split()).casefold()


@pytest.mark.parametrize("kind", KINDS)
def test_a_spelled_token_is_text_and_those_around_stay(kind: str, load: Callable[[str], Any]) -> None:
    tokenizer, token = load(kind), SPELLED[kind]
    text = f"The printer{token} is fine"
    around = len(set(tokenizer("The printer")["input_ids"]) & set(tokenizer.all_special_ids))
    plain = tokenise([text], None, text_tokenizer(tokenizer, split=None), 64)
    assert ids_of(plain) == tokenizer(text)["input_ids"]
    split = ids_of(tokenise([text], None, text_tokenizer(tokenizer, split=True), 64))
    assert sum(one in tokenizer.all_special_ids and one != tokenizer.unk_token_id for one in split) == around
    if kind != "t5":  # whose vocabulary has the token as a piece of text
        assert split == tokenizer(text, split_special_tokens=True)["input_ids"]
    if kind != "bert":  # this one's words have no decoder
        assert without(split, tokenizer) == "".join(text.split()).casefold()


@pytest.mark.parametrize("kind", KINDS)
def test_other_texts_are_the_same(kind: str, load: Callable[[str], Any], sentences: list[str]) -> None:
    tokenizer = load(kind)
    texts = [*sentences, "a < b, <b> and </b>; [x] | y", ""]
    first, second = (tokenise(texts, None, text_tokenizer(tokenizer, split=split), 64) for split in (False, True))
    assert first.ids.tolist() == second.ids.tolist()


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_pairs(kind: str, load: Callable[[str], Any]) -> None:
    tokenizer, token = load(kind), SPELLED[kind]
    made = tokenise(["Our invoice"], [f"is {token} late"], text_tokenizer(tokenizer, split=True), 64)
    right = tokenizer("Our invoice", f"is {token} late", split_special_tokens=True)
    assert ids_of(made) == right["input_ids"]
    if made.types is not None:
        assert made.types.tolist() == right["token_type_ids"]


@pytest.mark.parametrize("kind", ["bert", "roberta", "gpt2", "llama"])
def test_words_keep_their_tags(kind: str, load: Callable[[str], Any]) -> None:
    tokenizer, rows = load(kind), [["Our", SPELLED[kind], "is", "late"]]
    words = word_tokenizer(text_tokenizer(tokenizer, split=True), 64)
    tokens = tokenise_words(rows, [[1, 2, 3, 4]], words)
    assert [label for label in (tokens.labels if tokens.labels is not None else []) if label > 0] == [1, 2, 3, 4]
    assert seen_words(tokens, rows, words) == {}
    assert ids_of(tokens) == tokenizer(" ".join(rows[0]), split_special_tokens=True)["input_ids"]


def test_inputs_and_targets(load: Callable[[str], Any]) -> None:
    tokenizer = load("t5")
    rows = Examples(["The </s> printer"], None, ["is </s> fine"], NO_LABELS, [Place(file="a", line=1)])
    end = tokenizer.eos_token_id
    plain, split = (tokenise_both(rows, text_tokenizer(tokenizer, split=one), Limits(32, 32)) for one in (False, True))
    for part, ends in ((plain, 2), (split, 1)):
        assert part.outputs is not None
        assert ids_of(part).count(end) == ids_of(part.outputs).count(end) == ends
    assert split.outputs is not None
    assert without(ids_of(split.outputs), tokenizer) == "is</s>fine"


def test_raw_text(load: Callable[[str], Any]) -> None:
    tokenizer = load("gpt2")
    text, end = "Our<|endoftext|> invoice", tokenizer.eos_token_id
    stream = tokenise_stream([text], text_tokenizer(tokenizer, split=True), 64)
    assert ids_of(stream) == [end, *tokenizer(text, split_special_tokens=True)["input_ids"], end]
    masked = load("bert")
    window = tokenise_windows(["Our [MASK] invoice"], text_tokenizer(masked, split=True), 64)
    assert ids_of(window) == masked("Our [MASK] invoice", split_special_tokens=True)["input_ids"]


def test_the_cache_knows_them_apart(load: Callable[[str], Any], tmp_path: Path) -> None:
    tokenizer = load("bert")
    made = [
        ids_of(tokenise(["a [SEP] b"], None, text_tokenizer(tokenizer, split=split), 64, cache=tmp_path))
        for split in (False, True, False)
    ]
    assert made[0] == made[2] != made[1]


def test_predict_reads_as_the_model_was_trained(
    job: Callable[..., str], cli: Callable[..., Any], lines: Any, tmp_path: Path
) -> None:
    """The saved tokenizer is the base's own; the setting goes with the model."""
    rows = [{"text": f"The printer {word}", "label": label} for word, label in (("[SEP]", "a"), ("is", "b"))] * 8
    data = {"train": [{"uri": lines("r.jsonl", rows)}], "splitSpecialTokens": True,
            "split": {"validation": 0, "test": 0}}  # fmt: skip
    ended = cli("run", job(data=data, evaluation={"baseline": False}), "--json")
    assert ended.code == 0, ended.err
    model = shutil.copytree(ended.folder / "model", tmp_path / "copy")  # nothing may change the output itself
    assert json.loads((model / "finetune.json").read_text())["splitSpecialTokens"] is True
    saved = AutoTokenizer.from_pretrained(model)
    assert "[SEP]" in saved.tokenize("The printer [SEP]")
    scores = {}
    for given in (True, False):
        settings = json.loads((model / "finetune.json").read_text()) | {"splitSpecialTokens": given}
        (model / "finetune.json").write_text(json.dumps(settings))
        said = cli("predict", model, "-", stdin=b"The printer [SEP] is fine")
        assert said.code == 0, said.err
        scores[given] = said.events[0]["scores"]
    assert scores[True] != scores[False]


def test_masks_are_masks_in_prediction(
    job: Callable[..., str], cli: Callable[..., Any], lines: Any, reader: Callable[[set[str]], Path]
) -> None:
    words = {"the", "printer", "is", "fine", "[", "]", "sep"}
    rows = [{"text": f"the printer is fine {'[SEP]' if n % 2 else ''}"} for n in range(12)]
    data = {"train": [{"uri": lines("m.jsonl", rows)}], "splitSpecialTokens": True,
            "split": {"validation": 0, "test": 0}}  # fmt: skip
    path = Path(job(model=reader(words).as_uri(), data=data, evaluation={"baseline": False}))
    path.write_text(path.read_text().replace("SequenceClassification", "MaskedLM"))
    ended = cli("run", path, "--json")
    assert ended.code == 0, ended.err
    said = cli("predict", ended.folder, "-", stdin=b"the [MASK] is [SEP] [MASK]")
    assert said.code == 0, said.err
    found = said.events[0]
    assert len(found["candidates"]) == 2
    assert "[SEP]" in found["filled"]
