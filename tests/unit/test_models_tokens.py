from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finetune_trainer.data.tokenising import tokens as module
from finetune_trainer.data.tokenising.tokens import Tokens, describe_lengths, tokenise

Make = Callable[..., Any]


@pytest.fixture
def tokenizer(tiny_classifier: Make) -> Any:
    """Of BERT's kind, with segment ids."""
    return tiny_classifier("bert")[1]


@pytest.fixture
def texts(sentences: list[str]) -> list[str]:
    """Texts of 1 to 30 words."""
    return [" ".join(sentences[: 1 + index % 4]) if index % 3 else "printer" for index in range(24)]


def same(one: Tokens, two: Tokens) -> bool:
    arrays = zip((one.ids, one.offsets, one.full_lengths), (two.ids, two.offsets, two.full_lengths), strict=True)
    return all(np.array_equal(*pair) and pair[0].dtype == pair[1].dtype for pair in arrays)


def no_tokenising(*_: object) -> None:
    pytest.fail("it was tokenised again")


def test_rows_are_what_the_tokenizer_makes(tokenizer: Any, texts: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CHUNK", 5)
    told: list[int] = []
    tokens = tokenise(texts, None, tokenizer, 16, advance=told.append)
    expected = tokenizer(texts, truncation=True, max_length=16)["input_ids"]
    rows = [tokens.ids[a:b].tolist() for a, b in zip(tokens.offsets, tokens.offsets[1:], strict=False)]
    assert rows == expected
    assert tokens.lengths.tolist() == [len(row) for row in expected]
    assert tokens.types is None
    assert (sum(told), len(tokens)) == (24, 24)


@pytest.mark.parametrize("limit", [8, 13, 40, 64])
@pytest.mark.parametrize("paired", [False, True])
def test_lengths_before_truncation(tokenizer: Any, texts: list[str], limit: int, paired: bool) -> None:
    pairs = texts[::-1] if paired else None
    tokens = tokenise(texts, pairs, tokenizer, limit)
    whole = [len(row) for row in tokenizer(texts, pairs)["input_ids"]]
    assert tokens.full_lengths.tolist() == whole
    described = describe_lengths(tokens, limit)
    assert (described.longest, described.limit) == (max(whole), limit)
    assert described.truncated == sum(length > limit for length in whole)
    assert tokens.lengths.max() == min(limit, max(whole))


def test_segments_of_pairs(tokenizer: Any, texts: list[str]) -> None:
    tokens = tokenise(texts, texts[::-1], tokenizer, 64)
    expected = tokenizer(texts, texts[::-1], truncation=True, max_length=64)["token_type_ids"]
    assert tokens.types is not None
    assert tokens.types.tolist() == [segment for row in expected for segment in row]
    assert set(tokens.types.tolist()) == {0, 1}


@pytest.mark.parametrize("paired", [False, True])
def test_a_cache_hit_is_the_same_as_fresh(
    tokenizer: Any, texts: list[str], paired: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = texts[::-1] if paired else None
    fresh = tokenise(texts, pairs, tokenizer, 16, cache=tmp_path)
    monkeypatch.setattr(module, "_tokenise", no_tokenising)
    told: list[int] = []
    again = tokenise(list(texts), pairs, tokenizer, 16, cache=tmp_path, advance=told.append)
    assert same(fresh, again)
    assert (fresh.types is None) == (again.types is None) == (not paired)
    assert told == [24]
    assert [file.suffix for file in tmp_path.iterdir()] == [".npz"], "nothing half-written is left"


def test_using_a_tokenizer_does_not_change_its_key(tokenizer: Any, texts: list[str], tmp_path: Path) -> None:
    tokenise(texts, None, tokenizer, 16, cache=tmp_path)
    tokenizer(texts, padding=True, truncation=True, max_length=9)
    tokenise(texts, None, tokenizer, 16, cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 1


def test_all_that_matters_is_in_the_key(tiny_classifier: Make, texts: list[str], tmp_path: Path) -> None:
    tokenizer, other = tiny_classifier("bert")[1], tiny_classifier("distilbert")[1]
    left = tiny_classifier("bert")[1]
    left.truncation_side = "left"
    grown = tiny_classifier("bert")[1]
    grown.add_tokens(["printer broke"])
    cases: list[tuple[list[str], list[str] | None, Any, int]] = [
        (texts, None, tokenizer, 16),
        (texts, None, tokenizer, 17),
        (texts[:-1], None, tokenizer, 16),
        ([*texts[:-1], f"{texts[-1]}!"], None, tokenizer, 16),
        (texts[::-1], None, tokenizer, 16),
        (texts, texts, tokenizer, 16),
        (texts, texts[::-1], tokenizer, 16),
        (texts, None, left, 16),
        (texts, None, grown, 16),
        (texts, None, other, 16),
        (texts, None, tiny_classifier("gpt2")[1], 16),
        (["ab", "c"], None, tokenizer, 16),
        (["a", "bc"], None, tokenizer, 16),
    ]
    for count, case in enumerate(cases, start=1):
        tokenise(*case, cache=tmp_path)
        assert len(list(tmp_path.iterdir())) == count


@pytest.mark.parametrize("content", [b"", b"junk", b"PK\x03\x04junk", None])
def test_a_broken_file_is_made_anew(tokenizer: Any, texts: list[str], content: bytes | None, tmp_path: Path) -> None:
    fresh = tokenise(texts, None, tokenizer, 16, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] if content is None else content)
    assert same(tokenise(texts, None, tokenizer, 16, cache=tmp_path), fresh)
    assert file.read_bytes() == whole


def test_a_file_that_is_being_written_is_not_used(tokenizer: Any, texts: list[str], tmp_path: Path) -> None:
    fresh = tokenise(texts, None, tokenizer, 16, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    file.rename(tmp_path / "other.part")
    (tmp_path / "other.part").write_bytes(b"half")
    assert same(tokenise(texts, None, tokenizer, 16, cache=tmp_path), fresh)


def test_a_cache_that_can_not_be_written_costs_nothing_but_time(
    tokenizer: Any, texts: list[str], tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("a file in the way")
    tokens = tokenise(texts, None, tokenizer, 16, cache=tmp_path / "cache")
    assert same(tokens, tokenise(texts, None, tokenizer, 16))


def test_a_failed_write_leaves_nothing(
    tokenizer: Any, texts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.np, "savez", full)
    tokenise(texts, None, tokenizer, 16, cache=tmp_path)
    assert list(tmp_path.iterdir()) == []
