import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from finetune_trainer.data.tokenising.batches import BatchPlan, volume_of
from finetune_trainer.memory import token_budget
from finetune_trainer.observer import Monitor
from finetune_trainer.training.inference import predict_logits
from finetune_trainer.training.state.best_weights import BestWeights
from finetune_trainer.training.throughput import ThroughputMeter

Make = Callable[..., Any]


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta", "electra", "modernbert", "gpt2", "llama"])
def test_a_row_gets_the_same_logits_alone_and_among_others(
    kind: str, tiny_classifier: Make, tiny_rows: Make, sentences: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, tokenizer, model = tiny_classifier(kind)
    texts = [" ".join(text.split()[: 1 + index % 9]) for index, text in enumerate(sentences)]
    monkeypatch.setitem(token_budget.INFERENCE_TOKENS, "cpu", 60)  # several passes, each with rows of several lengths
    told: list[int] = []
    together = predict_logits(model, tiny_rows(texts, tokenizer), Monitor(told.append))
    alone = np.concatenate([predict_logits(model, tiny_rows([text], tokenizer)) for text in texts])
    assert together.dtype == np.float32
    assert np.allclose(together, alone, atol=1e-5)
    assert len(np.unique(together.round(4), axis=0)) > 10, "the rows are too alike to tell"
    assert sum(told) == len(texts)
    assert len(told) > 2


def test_a_text_without_any_token_gets_logits_too(tiny_classifier: Make, tiny_rows: Make) -> None:
    """Decoders add no special tokens, so nothing is left of an empty text."""
    _, tokenizer, model = tiny_classifier("gpt2")
    logits = predict_logits(model, tiny_rows(["", "The printer", ""], tokenizer))
    assert np.isfinite(logits).all()
    assert np.allclose(logits[0], logits[2])


def test_pairs_are_told_apart(tiny_classifier: Make, tiny_rows: Make, sentences: list[str]) -> None:
    _, tokenizer, model = tiny_classifier("bert")
    rows = tiny_rows(sentences[:2], tokenizer, pairs=sentences[2:4])
    expected = model(**tokenizer(sentences[:2], sentences[2:4], padding=True, return_tensors="pt")).logits
    assert np.allclose(predict_logits(model, rows), expected.detach().numpy(), atol=1e-5)


@pytest.mark.parametrize("mode", [True, False])
def test_the_mode_is_kept_and_dropout_is_off(
    mode: bool, tiny_classifier: Make, tiny_rows: Make, sentences: list[str]
) -> None:
    _, tokenizer, model = tiny_classifier("bert", hidden_dropout_prob=0.5)
    rows = tiny_rows(sentences, tokenizer)
    model.train(mode)
    assert np.array_equal(predict_logits(model, rows), predict_logits(model, rows))
    assert model.training is mode
    assert not any(weight.is_inference() for weight in model.parameters())


def test_best_weights_bring_back_what_was_trainable(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[0].requires_grad_(requires_grad=False)
    best = BestWeights(tmp_path)
    assert not best.restore(model)
    best.save(model)
    first = [weight.detach().clone() for weight in model.parameters()]
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(1)
    assert best.restore(model)
    assert torch.equal(model[1].weight, first[2])
    assert torch.equal(model[0].weight, first[0] + 1), "frozen weights are none of its business"
    with torch.no_grad():
        model[1].weight.fill_(9)
    best.save(model)
    model[1].reset_parameters()
    best.restore(model)
    assert (model[1].weight == 9).all(), "a later save replaces the earlier one"
    assert [file.name for file in tmp_path.iterdir()] == ["best.safetensors"]


def test_rates_leave_pauses_and_padding_out() -> None:
    plan = BatchPlan(np.asarray([4, 2, 2]), 3, 0, 100, 1)
    rate = ThroughputMeter(total_steps=4)
    with rate.paused():
        time.sleep(0.2)
    time.sleep(0.02)
    rate.add(3, volume_of(list(plan.micro_batches(np.arange(3))), plan.lengths))
    progress, totals = rate.progress(1, 0.5, 0.7, 1e-3), rate.totals()
    assert totals["paddingRatio"] == pytest.approx(4 / 12)
    assert progress.samples_per_second is not None
    assert progress.tokens_per_second is not None
    assert 3 / 0.15 < progress.samples_per_second <= 3 / 0.02
    assert progress.tokens_per_second == pytest.approx(progress.samples_per_second * 8 / 3, rel=0.01)
    assert (progress.step, progress.total_steps, progress.percent, progress.epoch) == (1, 4, 25, 0.5)
    assert progress.eta_seconds is not None
    assert progress.eta_seconds >= 3 * 0.22
