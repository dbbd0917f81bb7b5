"""Words as tokens and as running text, with tokenizers of all kinds and scripts of all kinds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from finetune_trainer.data.running_text import running_text, text_words, word_places
from finetune_trainer.data.tokenising.tokens import IGNORE_INDEX
from finetune_trainer.data.tokenising.word_tokens import seen_words, tokenise_words, word_tokenizer

ROWS = [["The", "printer", "broke", "on", "the", "first", "day"], ["Our", "invoice", "is", "late", "!"]]
TAGS = [[0, 1, 0, 0, 2, 3, 3], [0, 5, 0, 4, 0]]
VANISHING = ["\u200d", "\ufe0f", "\x7f", ""]
KINDS = ["bert", "distilbert", "modernbert", "roberta", "gpt2", "llama"]


@pytest.fixture(params=KINDS)
def tokenizer(request: pytest.FixtureRequest, tiny_model: Callable[..., Path]) -> Any:
    found = AutoTokenizer.from_pretrained(tiny_model(request.param))
    found.pad_token = found.pad_token or found.eos_token
    return found


def test_the_first_token_of_each_word_has_its_tag(tokenizer: Any) -> None:
    words = word_tokenizer(tokenizer, 64)
    tokens = tokenise_words(ROWS, TAGS, words)
    assert tokens.labels is not None
    for row, tags in enumerate(TAGS):
        labels = tokens.labels[tokens.offsets[row] : tokens.offsets[row + 1]]
        assert labels[labels != IGNORE_INDEX].tolist() == tags
    assert seen_words(tokens, ROWS, words) == {}


def test_words_become_the_tokens_of_the_running_text(tokenizer: Any) -> None:
    tokens = tokenise_words(ROWS, None, word_tokenizer(tokenizer, 64))
    for row, words in enumerate(ROWS):
        ids = tokens.ids[tokens.offsets[row] : tokens.offsets[row + 1]].tolist()
        assert ids == tokenizer(" ".join(words))["input_ids"]


@pytest.mark.parametrize("vanishing", VANISHING)
def test_words_that_vanish_are_known(vanishing: str, tokenizer: Any) -> None:
    rows = [["The", vanishing, "day"], [vanishing], ROWS[0]]
    words = word_tokenizer(tokenizer, 64)
    tokens = tokenise_words(rows, [[1, 2, 3], [4], TAGS[0]], words)
    seen = seen_words(tokens, rows, words)
    assert tokens.labels is not None
    first = tokens.labels[tokens.offsets[0] : tokens.offsets[1]]
    kept = seen.get(0, np.arange(3)).tolist()
    assert first[first != IGNORE_INDEX].tolist() == [[1, 2, 3][word] for word in kept]
    assert {0, 2} <= set(kept)
    assert (tokens.lengths > 0).all()
    assert 2 not in seen


def test_words_beyond_the_limit_are_known(tokenizer: Any) -> None:
    words = word_tokenizer(tokenizer, 8)
    tokens = tokenise_words([ROWS[0] * 5], [TAGS[0] * 5], words)
    assert tokens.lengths.tolist() == [8]
    assert tokens.full_lengths[0] > 8
    seen = seen_words(tokens, [ROWS[0] * 5], words)[0]
    assert seen.tolist() == list(range(len(seen)))
    assert tokens.counted.tolist() == [len(seen)]


def test_the_cache_knows_words_and_tags(tiny_model: Callable[..., Path], tmp_path: Path) -> None:
    words = word_tokenizer(AutoTokenizer.from_pretrained(tiny_model("bert")), 64)
    first = tokenise_words([["a b", "c"]], [[1, 2]], words, cache=tmp_path)
    again = tokenise_words([["a b", "c"]], [[1, 2]], words, cache=tmp_path)
    assert again.labels is not None
    assert again.labels.tolist() == first.labels.tolist()  # type: ignore[union-attr]
    assert len(list(tmp_path.iterdir())) == 1
    tokenise_words([["a b", "c"]], [[2, 1]], words, cache=tmp_path)
    tokenise_words([["a", "b c"]], [[1, 2]], words, cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["We", "met", "Ann", "."], "We met Ann ."),
        (["国家", "1982", "年", "。", "天津"], "国家1982年。天津"),
        (["今天", "Apple", "Inc.", "说"], "今天Apple Inc.说"),
        (["서울", "시"], "서울 시"),
        (["", "a", "", "b"], "a b"),
    ],
)
def test_running_text(words: list[str], text: str) -> None:
    found = running_text(words)
    assert " ".join(found.split()) == text
    assert [found[start:end] for start, end in word_places(words)] == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Ann met Bob, too!", ["Ann", "met", "Bob", ",", "too", "!"]),
        ("@ann #party C# 3.5", ["@ann", "#party", "C", "#", "3", ".", "5"]),
        ("在天津 OK", ["在", "天", "津", "OK"]),
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
        ("Málaga cafe\u0301", ["Málaga", "cafe\u0301"]),
        ("Москва́ — город", ["Москва́", "—", "город"]),
        ("  ", []),
    ],
)
def test_words_of_a_text(text: str, words: list[str]) -> None:
    assert [text[start:end] for start, end in text_words(text)] == words


@given(st.text())
def test_nothing_of_a_text_is_lost_but_white_space(text: str) -> None:
    found = text_words(text)
    assert "".join(text[start:end] for start, end in found) == "".join(text.split())
    assert all(start < end for start, end in found)


@given(st.lists(st.text(min_size=1, max_size=4)))
def test_places_lead_back_to_the_words(words: list[str]) -> None:
    text = running_text(words)
    assert [text[start:end] for start, end in word_places(words)] == words
