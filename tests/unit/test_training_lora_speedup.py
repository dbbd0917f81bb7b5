import copy
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from finetune_api.method import Method
from finetune_api.tasks import MethodType, ProblemType
from finetune_trainer.methods import METHODS
from finetune_trainer.training.inference import predict_logits
from finetune_trainer.training.losses.classification import Objective
from finetune_trainer.training.speedups.dropout import fast_dropout
from finetune_trainer.training.speedups.lora import fast_lora

Make = Callable[..., Any]
CLASSES = torch.arange(24) % 3


def adapted(files: Any, model: Any, **settings: Any) -> Any:
    method = Method.model_validate({"lora": {"rank": 4, **settings}})
    tuned = METHODS[MethodType.LORA](model, files, method, Path("/nowhere")).model
    with torch.no_grad():  # B starts at 0, where A gets no gradient
        for name, weight in tuned.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.1)
    return tuned


@pytest.mark.parametrize("dropout", [0.0, 0.2])
@pytest.mark.parametrize("stabilized", [False, True])
def test_logits_and_gradients_are_those_of_peft(
    tiny_classifier: Make, sentences: list[str], dropout: float, stabilized: bool
) -> None:
    """The same seed drops the same elements, so the two differ by rounding only."""
    files, tokenizer, model = tiny_classifier("bert")
    tuned = adapted(files, model, dropout=dropout, rankStabilized=stabilized, alpha=5).train()
    inputs = tokenizer(sentences, padding=True, return_tensors="pt")
    found = []
    for fast in (False, True):
        tuned.zero_grad()
        torch.manual_seed(8)
        with ExitStack() as swapped:
            swapped.enter_context(fast_dropout(tuned))
            if fast:
                swapped.enter_context(fast_lora(tuned))
            logits = tuned(**inputs).logits
            torch.nn.functional.cross_entropy(logits, CLASSES).backward()
        gradients = {name: weight.grad.clone() for name, weight in tuned.named_parameters() if weight.requires_grad}
        found.append((logits.detach(), gradients))
    (logits, gradients), (fast_logits, fast_gradients) = found
    assert torch.allclose(logits, fast_logits, atol=1e-4)
    assert gradients.keys() == fast_gradients.keys()
    assert sum("lora_" in name for name in gradients) == 2 * 12
    for name, gradient in gradients.items():
        assert gradient.abs().max() > 0, name
        assert torch.allclose(gradient, fast_gradients[name], atol=1e-4, rtol=1e-3), name


def test_training_gives_the_same_model(
    tiny_classifier: Make, tiny_rows: Make, train: Make, sentences: list[str]
) -> None:
    files, tokenizer, model = tiny_classifier("distilbert")
    plain = adapted(files, model, dropout=0)
    fast = copy.deepcopy(plain)
    rows = tiny_rows(sentences, tokenizer)
    slow_result = train(plain, rows, CLASSES, Objective(ProblemType.SINGLE_LABEL), learning_rate=1e-3)
    with fast_lora(fast):
        result = train(fast, rows, CLASSES, Objective(ProblemType.SINGLE_LABEL), learning_rate=1e-3)
    losses, others = ([point.loss for point in curve] for curve in (slow_result.curves, result.curves))
    assert np.allclose(losses, others, rtol=1e-3)
    assert np.allclose(predict_logits(plain, rows), predict_logits(fast, rows), atol=1e-2)


def test_only_plain_modules_are_swapped_and_all_are_put_back(tiny_classifier: Make) -> None:
    swapped = {}
    for kind in ("bert", "gpt2"):
        files, _, model = tiny_classifier(kind)
        tuned = adapted(files, model)
        with fast_lora(tuned):
            swapped[kind] = sum("forward" in vars(module) for module in tuned.modules())
        assert not any("forward" in vars(module) for module in tuned.modules())
    assert swapped == {"bert": 12, "gpt2": 0}, "GPT-2's linear modules are of another class"
