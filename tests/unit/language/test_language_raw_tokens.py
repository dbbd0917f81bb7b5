"""Raw text as tokens: nothing lost, nothing foretold twice."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from finetune_trainer.data.tokenising.raw_tokens import tokenise_stream, tokenise_windows
from finetune_trainer.data.tokenising.special_tokens import SpecialTokens, special_tokens_of
from finetune_trainer.data.tokenising.tokens import IGNORE_INDEX, Tokens

TEXTS = ["Once upon a time, there was a little girl named Lily.", "Tom ran.", "She loved to play outside in the park."]


def rows(tokens: Tokens) -> list[tuple[list[int], list[int]]]:
    assert tokens.labels is not None
    cut = [slice(a, b) for a, b in zip(tokens.offsets, tokens.offsets[1:], strict=False)]
    return [(tokens.ids[part].tolist(), tokens.labels[part].tolist()) for part in cut]


@pytest.mark.parametrize("limit", [8, 9, 16, 512])
def test_every_token_of_a_stream_is_foretold_once(stories: PreTrainedTokenizerBase, limit: int) -> None:
    tokens = tokenise_stream(TEXTS, stories, limit)
    end = stories.eos_token_id
    expected = [token for text in TEXTS for token in [*stories(text, add_special_tokens=False)["input_ids"], end]]
    foretold = [label for _, labels in rows(tokens) for label in labels if label != IGNORE_INDEX]
    assert foretold == expected
    assert int(tokens.lengths.max()) <= limit
    assert tokens.counted.sum() == len(expected)
    for ids, labels in rows(tokens):
        assert labels[0] == IGNORE_INDEX
        assert all(label in (token, IGNORE_INDEX) for token, label in zip(ids, labels, strict=True))


def test_a_block_goes_on_where_the_one_before_ended(stories: PreTrainedTokenizerBase) -> None:
    blocks = [ids for ids, _ in rows(tokenise_stream(TEXTS, stories, 10))]
    assert len(blocks) > 3
    assert all(before[-1] == after[0] for before, after in pairwise(blocks))


def test_gpt2_has_an_end_of_text_in_front_and_learns_the_real_ones(tiny_model: Callable[..., Path]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model("gpt2"))
    tokenizer.pad_token = tokenizer.eos_token  # as `load_tokenizer` does: its id is that of real ends of text too
    ((ids, labels),) = rows(tokenise_stream(["The printer.", "The window."], tokenizer, 64))
    assert ids[0] == tokenizer.eos_token_id
    assert [label for label in labels if label == tokenizer.eos_token_id] == [tokenizer.eos_token_id] * 2


def test_windows_are_framed_and_keep_the_whole_text(tiny_model: Callable[..., Path]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model("bert"))
    text = "The printer was a joy and we would come again at once. Our invoice is fine"
    found = rows(tokenise_windows([text, "window"], tokenizer, 8))
    assert special_tokens_of(tokenizer) == SpecialTokens((tokenizer.cls_token_id,), (tokenizer.sep_token_id,))
    assert all(ids[0] == tokenizer.cls_token_id and ids[-1] == tokenizer.sep_token_id for ids, _ in found)
    whole = [token for ids, _ in found for token in ids[1:-1]]
    assert whole == [t for part in (text, "window") for t in tokenizer(part, add_special_tokens=False)["input_ids"]]
    assert all(labels[0] == labels[-1] == IGNORE_INDEX for _, labels in found)


def test_special_tokens_in_a_text_are_not_learned(tiny_model: Callable[..., Path]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model("bert"))
    ((ids, labels),) = rows(tokenise_windows(["the [MASK] is fine"], tokenizer, 16))
    assert labels[ids.index(tokenizer.mask_token_id)] == IGNORE_INDEX


@pytest.mark.parametrize("text", ["El día que llegué a la ciudad llovía.", "我昨天去了北京。天气很好。"])
def test_other_languages_come_back_as_they_were(stories: PreTrainedTokenizerBase, text: str) -> None:
    ((_, labels),) = rows(tokenise_stream([text], stories, 512))
    learned = [label for label in labels if label != IGNORE_INDEX]
    assert stories.decode(learned, skip_special_tokens=True) == text


def test_tokens_are_cached_by_content(stories: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    first = tokenise_stream(TEXTS, stories, 16, cache=tmp_path)
    done: list[int] = []
    again = tokenise_stream(TEXTS, stories, 16, cache=tmp_path, advance=done.append)
    assert np.array_equal(first.ids, again.ids)
    assert done == [len(TEXTS)]
    assert len(list(tmp_path.iterdir())) == 1
    tokenise_windows(TEXTS, stories, 16, cache=tmp_path)
    tokenise_stream(TEXTS, stories, 17, cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 3
