"""NEFTune's noise: on the input's embeddings, while training, and never otherwise."""

from collections.abc import Callable
from math import sqrt
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForSeq2SeqLM, AutoModelForSequenceClassification

from finetune_trainer.training.neftune import neftune_noise
from finetune_trainer.training.speedups.embedding_rows import restricted_embedding

IDS = torch.tensor([[2, 7, 8, 9, 3], [2, 9, 3, 0, 0]])


@pytest.fixture
def model(tiny_model: Callable[..., Path]) -> Any:
    """A small encoder without dropout, in training mode."""
    return AutoModelForSequenceClassification.from_pretrained(tiny_model("bert", 2)).train()


def test_noise_is_uniform_up_to_the_bound_of_the_paper(model: Any) -> None:
    table = model.get_input_embeddings()
    plain = table(IDS).detach()
    with neftune_noise(model, 5.0):
        noise = torch.stack([table(IDS).detach() - plain for _ in range(200)])
    bound = 5.0 / sqrt(IDS.shape[1] * plain.shape[-1])
    assert noise.abs().max() <= bound * 1.0001
    assert noise.abs().max() > bound * 0.95
    assert noise.mean().abs() < bound / 20
    assert noise.std().item() == pytest.approx(bound / sqrt(3), rel=0.05)
    assert torch.equal(table(IDS), plain), "the noise ends with the block"


def test_there_is_none_while_measuring(model: Any) -> None:
    plain = model.eval()(IDS).logits
    with neftune_noise(model, 5.0):
        assert torch.equal(model(IDS).logits, plain)
        assert not torch.equal(model.train()(IDS).logits, plain)


def test_it_follows_torchs_generator_so_that_runs_can_be_resumed(model: Any) -> None:
    with neftune_noise(model, 5.0):
        state = torch.get_rng_state()
        first = model(IDS).logits
        assert not torch.equal(model(IDS).logits, first)
        torch.set_rng_state(state)
        assert torch.equal(model(IDS).logits, first)


def test_it_reaches_an_embedding_of_which_only_used_rows_are_trained(model: Any) -> None:
    with restricted_embedding(model, torch.arange(12)), neftune_noise(model, 5.0):
        assert not torch.equal(model(IDS).logits, model(IDS).logits)


@pytest.mark.parametrize("kind", ["t5", "bart"])
def test_of_an_encoder_decoder_the_encoder_gets_it(kind: str) -> None:
    sizes = {"d_model": 16, "vocab_size": 20, "decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1}
    sizes |= {"d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2} if kind == "t5" else {}
    model: Any = AutoModelForSeq2SeqLM.from_config(AutoConfig.for_model(kind, **sizes)).train()
    plain = model.get_encoder().get_input_embeddings()(IDS)
    with neftune_noise(model, 5.0):
        assert not torch.equal(model.get_encoder().get_input_embeddings()(IDS), plain)
        encoded = []
        hook = model.get_encoder().get_input_embeddings().register_forward_hook(lambda *seen: encoded.append(seen[2]))
        model(input_ids=IDS, labels=IDS)
        hook.remove()
    assert encoded


def test_a_run_with_noise_ends_elsewhere_and_learns(job: Callable[..., str], cli: Callable[..., Any]) -> None:
    plain = cli("run", job("plain", training={"epochs": 3}), "--json").report
    noisy = cli("run", job("noisy", training={"epochs": 3, "neftuneNoiseAlpha": 5}), "--json").report
    assert noisy.evaluation.metrics["accuracy"] > noisy.evaluation.baseline["accuracy"]
    assert noisy.evaluation.metrics["evalLoss"] != plain.evaluation.metrics["evalLoss"]
    assert noisy.evaluation.baseline == plain.evaluation.baseline
