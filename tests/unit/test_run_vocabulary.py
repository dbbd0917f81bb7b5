"""A tokenizer and a model that don't belong together."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.causes("ModelUnsuitable")
def test_a_tokenizer_with_more_tokens_than_the_model(
    cli: Callable[..., Any], job: Callable[..., str], tiny_model: Callable[..., Path]
) -> None:
    ended = cli("run", job(model=tiny_model("bert", vocab_size=20).as_uri()))
    assert ended.code == 64
    assert "ModelUnsuitable" in ended.err
    assert "but the model knows 20 tokens only" in ended.err
