from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from finetune_api.failures import ModelUnsuitable
from finetune_api.method import Method
from finetune_api.tasks import BUILT, MethodType, ProblemType, Task
from finetune_api.training import Training
from finetune_trainer.methods import METHODS
from finetune_trainer.training.inference import predict_logits
from finetune_trainer.training.losses.classification import Objective
from finetune_trainer.training.optimizers import build_optimizer

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


TOP = {"bert": {"bert.pooler", "classifier"}, "gpt2": {"transformer.ln_f", "score"}, "llama": {"model.norm", "score"}}


@pytest.mark.parametrize("kind", ["bert", "gpt2", "llama"])
def test_only_the_top_layers_are_trained(
    kind: str, tiny_classifier: Make, tiny_rows: Make, train: Make, sentences: list[str], tmp_path: Path
) -> None:
    files, tokenizer, model = tiny_classifier(kind)
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    adapted = METHODS[MethodType.FULL](model, files, full(trainableLayers=1), tmp_path)
    objective = Objective(ProblemType.SINGLE_LABEL)
    train(adapted.model, tiny_rows(sentences, tokenizer), torch.arange(24) % 3, objective, steps=3)
    changed = {name for name, weight in adapted.model.named_parameters() if not torch.equal(weight, before[name])}
    assert changed == {name for name, weight in adapted.model.named_parameters() if weight.requires_grad}
    layers = {name for name in changed if ".1." in name}
    assert layers == {name for name in before if ".1." in name}
    assert {".".join(name.split(".")[: len(top.split("."))]) for name in changed - layers for top in TOP[kind]
            if name.startswith(top)} == TOP[kind]  # fmt: skip
    assert all(any(name.startswith(top) for top in TOP[kind]) for name in changed - layers)
    assert adapted.total_parameters == sum(weight.numel() for weight in before.values())


@pytest.mark.causes("ModelUnsuitable")
def test_more_layers_than_there_are(tiny_classifier: Make, tmp_path: Path) -> None:
    files, _, model = tiny_classifier("bert")
    with pytest.raises(ModelUnsuitable, match="3 layers are more than the 2 of this model") as caught:
        METHODS[MethodType.FULL](model, files, full(trainableLayers=3), tmp_path)
    assert caught.value.problems[0].where == "spec.method.full.trainableLayers"


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta", "modernbert", "gpt2", "llama"])
def test_lower_layers_learn_more_slowly(kind: str, tiny_classifier: Make, tmp_path: Path) -> None:
    files, _, model = tiny_classifier(kind)
    adapted = METHODS[MethodType.FULL](model, files, full(layerwiseLrDecay=0.5), tmp_path)
    optimizer = build_optimizer(adapted.model, 0.8, Training(), adapted.lr_factor)
    rates = {id(weight): group["lr"] for group in optimizer.param_groups for weight in group["params"]}
    for name, weight in adapted.model.named_parameters():
        embedding = any(part in name for part in ("embed", ".wte", ".wpe"))
        expected = 0.1 if embedding else 0.2 if ".0." in name else 0.4 if ".1." in name else 0.8
        assert rates[id(weight)] == pytest.approx(expected), name
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.8), "the rate that is shown"


def full(**settings: Any) -> Method:
    return Method.model_validate({"type": "Full", "full": settings})
