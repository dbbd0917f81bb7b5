"""Feature extraction where words are tagged: one stored vector a word, and a head that never sees the body again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from finetune_api.failures import ModelUnsuitable
from finetune_api.method import Method
from finetune_api.model import ModelSource
from finetune_api.tasks import MethodType
from finetune_trainer.data.tokenising.collate import TokenRows
from finetune_trainer.data.tokenising.tokens import IGNORE_INDEX
from finetune_trainer.data.tokenising.word_tokens import tokenise_words, word_tokenizer
from finetune_trainer.methods import METHODS, feature_extraction
from finetune_trainer.models.classifier import load_tagger, load_tokenizer
from finetune_trainer.models.fetching import fetch_model
from finetune_trainer.storage import Site
from finetune_trainer.training.losses.tags import predict_tags

TAGS = ("O", "B-THING", "I-THING")
Make = Callable[..., Any]


@pytest.fixture
def tagged(tiny_model: Make, sentences: list[str], tmp_path: Path) -> Callable[[str], tuple[Any, Any, Any]]:
    """A function from a model type to (method's view of a tagger, its tokens, what pads them)."""

    def make(kind: str) -> tuple[Any, Any, Any]:
        files = fetch_model(ModelSource(uri=tiny_model(kind).as_uri()), Site(Path("/")))
        tokenizer = load_tokenizer(files)
        model = load_tagger(files, tokenizer, TAGS, seed=1)
        rows = [tuple(text.split()[: 1 + at % 7]) for at, text in enumerate(sentences)]
        tags = [[at % 3 for at in range(len(row))] for row in rows]
        tokens = tokenise_words(rows, tags, word_tokenizer(tokenizer, 32))
        adapted = METHODS[MethodType.FEATURE_EXTRACTION](
            model, files, Method(type=MethodType.FEATURE_EXTRACTION), tmp_path / "cache"
        )
        return adapted, tokens, tokenizer.pad_token_id

    return make


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta", "modernbert", "gpt2", "llama"])
def test_stored_vectors_say_what_the_whole_model_says(kind: str, tagged: Callable[[str], tuple[Any, Any, Any]]) -> None:
    adapted, tokens, pad_id = tagged(kind)
    told = list[int]()
    rows = adapted.rows(tokens, told.append)
    assert sum(told) == len(tokens)
    assert rows.lengths.tolist() == tokens.counted.tolist()
    stored = predict_tags(adapted.model, rows)
    with adapted.model.whole() as whole:
        expected = predict_tags(whole, TokenRows(tokens, pad_id))
    assert stored["counted"].tolist() == expected["counted"].tolist()
    assert stored["tags"].tolist() == expected["tags"].tolist()
    assert np.allclose(stored["loss"], expected["loss"], atol=1e-4)
    assert [name for name, weight in adapted.model.named_parameters() if weight.requires_grad]
    assert not any(weight.requires_grad for weight in adapted.model.body.parameters())


def test_words_are_encoded_once(tagged: Callable[[str], tuple[Any, Any, Any]], tmp_path: Path) -> None:
    adapted, tokens, _ = tagged("bert")
    calls = list[int]()
    adapted.model.body.register_forward_hook(lambda *_: calls.append(1))
    first, again = (adapted.rows(tokens, lambda _rows: None) for _ in range(2))
    assert len(list((tmp_path / "cache").iterdir())) == 1
    assert len(calls) == 1
    some = np.asarray([3, 0, 12])
    for name, values in first.collate(some).items():
        assert torch.equal(values, again.collate(some)[name]), name


def test_a_row_of_words_that_the_tokenizer_does_not_see(tagged: Callable[[str], tuple[Any, Any, Any]]) -> None:
    adapted, tokens, _ = tagged("bert")
    labels = tokens.labels.copy()
    labels[tokens.offsets[5] : tokens.offsets[6]] = IGNORE_INDEX
    rows = adapted.rows(
        type(tokens)(tokens.ids, tokens.offsets, tokens.full_lengths, labels=labels), lambda _rows: None
    )
    assert rows.lengths[5] == 1
    alone = rows.collate(np.asarray([5]))
    assert alone["labels"].tolist() == [[IGNORE_INDEX]]
    assert predict_tags(adapted.model, rows)["counted"][5] == 0


@pytest.mark.causes("ModelUnsuitable")
def test_more_words_than_memory_should_hold(
    tagged: Callable[[str], tuple[Any, Any, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    adapted, tokens, _ = tagged("bert")
    monkeypatch.setattr(feature_extraction, "_MOST_BYTES", 1_000)
    with pytest.raises(ModelUnsuitable, match="words or texts take") as caught:
        adapted.rows(tokens, lambda _rows: None)
    assert "use method LoRA" in caught.value.problems[0].hint
