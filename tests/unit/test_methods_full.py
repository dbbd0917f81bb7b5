from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from finetune_api.method import Method
from finetune_api.tasks import BUILT, MethodType, ProblemType, Task
from finetune_trainer.methods import METHODS
from finetune_trainer.training.inference import predict_logits
from finetune_trainer.training.objective import Objective

Make = Callable[..., Any]


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_everything_is_trained_and_saved(
    kind: str, tiny_classifier: Make, tiny_rows: Make, train: Make, sentences: list[str], tmp_path: Path
) -> None:
    from transformers import AutoModelForSequenceClassification

    files, tokenizer, model = tiny_classifier(kind)
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    adapted = METHODS[MethodType.FULL](model, files, Method(type=MethodType.FULL), tmp_path)
    assert all(weight.requires_grad for weight in adapted.model.parameters())
    assert adapted.total_parameters == sum(weight.numel() for weight in before.values())
    assert adapted.merge is None
    rows = tiny_rows(sentences, tokenizer)
    train(adapted.model, rows, torch.arange(24) % 3, Objective(ProblemType.SINGLE_LABEL), steps=3)
    still = [name for name, weight in adapted.model.named_parameters() if torch.equal(weight, before[name])]
    assert still == []
    adapted.save(tmp_path / "model")
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model")
    assert np.allclose(predict_logits(plain, rows), predict_logits(adapted.model, rows), atol=1e-6)


def test_the_methods_are_those_that_the_api_says_are_built() -> None:
    assert set(METHODS) == BUILT[Task.SEQUENCE_CLASSIFICATION]
