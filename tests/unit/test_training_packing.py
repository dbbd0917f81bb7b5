"""Packed rows are learned as if each stood by itself: loss and gradients, by architecture; else they are refused."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor
from torch.nn import functional
from transformers import AutoConfig, AutoModelForCausalLM

from finetune_trainer.data.tokenising.packed_rows import PackedRows
from finetune_trainer.data.tokenising.tokens import IGNORE_INDEX, Tokens
from finetune_trainer.training.losses.base import TokenLoss
from finetune_trainer.training.losses.packed import PackedTokenLoss
from finetune_trainer.training.speedups.packed_attention import packing_attention
from finetune_trainer.training.speedups.packing_probe import why_not_packed

VOCABULARY = 50
LENGTHS = (7, 12, 7, 1, 9)
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
GROUPED = {**SMALL, "num_attention_heads": 4, "num_key_value_heads": 2}
GPT = {"n_embd": 16, "n_layer": 2, "n_head": 2}
NO_IDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
PACKED = {
    "llama": GROUPED,
    "qwen2": GROUPED,
    "qwen2 with windows": GROUPED | {"use_sliding_window": True, "sliding_window": 3, "max_window_layers": 1},
    "qwen3": GROUPED | {"head_dim": 8},
    "mistral": GROUPED | {"sliding_window": None},
    "mistral with windows": GROUPED | {"sliding_window": 3},
    "gemma": GROUPED | {"head_dim": 8},
    "gemma3_text": GROUPED
    | {"head_dim": 8, "sliding_window": 3, "layer_types": ["sliding_attention", "full_attention"]},
    "gpt2": GPT,
    "gpt_neox": SMALL,
    "phi": SMALL,
    "phi3": GROUPED | {"sliding_window": 3},
    "opt": SMALL | {"ffn_dim": 32, "word_embed_proj_dim": 16},
    "olmo2": GROUPED,
    "starcoder2": GROUPED | {"sliding_window": 3},
    "cohere": GROUPED,
    "granite": GROUPED,
    "smollm3": GROUPED,
    "gpt_bigcode": GPT,
}  # fmt: skip
REFUSED = {
    "mamba": {"hidden_size": 16, "num_hidden_layers": 2, "state_size": 4, "intermediate_size": 32},
    "bloom": {"hidden_size": 16, "n_layer": 2, "n_head": 2},
    "falcon": {**SMALL, "alibi": True, "new_decoder_architecture": False},
    "gptj": {**GPT, "rotary_dim": 4},
    "gpt_neo": {"hidden_size": 16, "num_layers": 2, "num_heads": 2, "attention_types": [[["global", "local"], 1]]},
    "gemma2": GROUPED | {"head_dim": 8, "sliding_window": 3},
    "lfm2": GROUPED | {"layer_types": ["conv", "full_attention"]},
    "recurrent_gemma": {**GROUPED, "lru_width": 16, "attention_window_size": 3, "head_dim": 8},
    "stablelm": GROUPED,
    "mpt": {"d_model": 16, "n_layers": 2, "n_heads": 2},
    "gpt_oss": GROUPED | {"head_dim": 8, "num_local_experts": 2, "num_experts_per_tok": 1, "sliding_window": 3},
}  # fmt: skip
"""State space layers, convolutions, recurrences, ALiBi, attention chosen when a model is built, soft caps, sinks."""


def build(kind: str, settings: dict[str, Any]) -> Any:
    torch.manual_seed(3)
    config = AutoConfig.for_model(kind.partition(" ")[0], vocab_size=VOCABULARY, **NO_IDS, **settings)
    model = AutoModelForCausalLM.from_config(config).eval()
    for weight in model.parameters():  # as initialised, attention hardly matters
        weight.data.mul_(3 if weight.ndim > 1 else 1)
    return model


def rows() -> Tokens:
    torch.manual_seed(4)
    ids = torch.randint(3, VOCABULARY, (sum(LENGTHS),)).numpy().astype(np.int32)
    offsets = np.concatenate([[0], np.cumsum(LENGTHS)])
    labels = np.where(np.arange(len(ids)) % 3 == 0, IGNORE_INDEX, ids).astype(np.int32)
    return Tokens(ids, offsets, np.asarray(LENGTHS, np.int32), labels=labels)


def one_by_one(model: Any, tokens: Tokens) -> Tensor:
    """Sum of the cross-entropies, of each row by itself in the whole of the model's logits."""
    total = torch.zeros(())
    for start, end in zip(tokens.offsets[:-1], tokens.offsets[1:], strict=True):
        ids, labels = (torch.from_numpy(part[start:end]).long() for part in (tokens.ids, tokens.labels))
        logits = model(input_ids=ids[None]).logits[0]
        total = total + functional.cross_entropy(logits[:-1], labels[1:], ignore_index=IGNORE_INDEX, reduction="sum")
    return total


def packed(model: Any, tokens: Tokens) -> Tensor:
    source, every = PackedRows(tokens), np.arange(len(LENGTHS))
    loss = PackedTokenLoss(TokenLoss(tokens.counted, shift=True), source)
    return loss.total(model, source.collate(every), every)


def gradients(model: Any, loss: Tensor) -> Tensor:
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    found = torch.autograd.grad(loss, weights, allow_unused=True)
    return torch.cat([torch.zeros(1) if gradient is None else gradient.flatten() for gradient in found])


@pytest.mark.parametrize(("kind", "settings"), PACKED.items(), ids=PACKED)
def test_loss_and_gradients_are_those_of_rows_one_by_one(kind: str, settings: dict[str, Any]) -> None:
    model, tokens = build(kind, settings), rows()
    assert why_not_packed(model) == ""
    expected = one_by_one(model, tokens)
    with packing_attention(model):
        found = packed(model, tokens)
        assert float(found.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
        assert torch.allclose(gradients(model, found), gradients(model, expected), atol=1e-4, rtol=1e-4)
    assert float(one_by_one(model, tokens)) == pytest.approx(float(expected.detach())), "and the model is as before"


@pytest.mark.parametrize("change", [
    {"gradient": True}, {"adapter": True}, {"gradient": True, "adapter": True},
], ids=["activation checkpointing", "LoRA", "both"])  # fmt: skip
def test_with_adapters_and_activation_checkpointing(change: dict[str, bool]) -> None:
    model, tokens = build("llama", GROUPED), rows()
    base = model
    if change.get("adapter"):
        config = LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear", init_lora_weights=False)
        model = get_peft_model(model, config).eval()
        base = model.get_base_model()
    expected = gradients(model, one_by_one(model, tokens))
    if change.get("gradient"):
        base.activation_checkpointing_enable()
        model.train()
    with packing_attention(base):
        found = gradients(model, packed(model, tokens))
    assert torch.allclose(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("kind", "settings"), REFUSED.items(), ids=REFUSED)
def test_what_sees_across_rows_is_refused(kind: str, settings: dict[str, Any]) -> None:
    model = build(kind, settings)
    before = model.config._attn_implementation
    assert why_not_packed(model)
    assert model.config._attn_implementation == before


def test_a_mask_of_two_dimensions_would_mix_the_rows() -> None:
    """transformers#46634: with one, or with a cache, transformers no longer looks at positions that begin again."""
    model, tokens = build("llama", GROUPED), rows()
    source = PackedRows(tokens)
    inputs = source.collate(np.arange(len(LENGTHS)))
    labels = inputs.pop("labels")
    assert (inputs["position_ids"] == 0).sum() == len(LENGTHS)
    right = one_by_one(model, tokens)

    def loss(**settings: Any) -> float:
        logits = model(**inputs, **settings).logits[0]
        return float(functional.cross_entropy(logits[:-1], labels[0, 1:], ignore_index=IGNORE_INDEX, reduction="sum"))

    assert loss(use_cache=False) == pytest.approx(float(right), rel=1e-5), "a block-diagonal mask"
    mixed = loss(use_cache=False, attention_mask=torch.ones_like(inputs["input_ids"]))
    assert mixed != pytest.approx(float(right), rel=1e-3)
    with packing_attention(model):
        assert float(packed(model, tokens).detach()) == pytest.approx(float(right), rel=1e-5)


def test_padded_batches_are_as_ever_while_rows_are_packed() -> None:
    """Evaluation goes on with padding, and with one row that has none."""
    model = build("mistral", GROUPED | {"sliding_window": 3})
    ids = torch.randint(3, VOCABULARY, (2, 9), generator=torch.Generator().manual_seed(1))
    mask = torch.tensor([[1] * 9, [1] * 6 + [0] * 3])
    ask = [partial(model, input_ids=ids, attention_mask=mask), partial(model, input_ids=ids[:1])]
    expected = [one().logits[0] for one in ask]
    with packing_attention(model):
        assert all(torch.allclose(one().logits[0], right, atol=1e-5) for one, right in zip(ask, expected, strict=True))
