"""Only tokens with a label are projected onto the vocabulary, and what comes of it is what the whole would give."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSeq2SeqLM

from finetune_trainer.data.tokenising.tokens import IGNORE_INDEX
from finetune_trainer.models.upcast_modules import keep_half_precision
from finetune_trainer.training.speedups.labelled_logits import LabelledLogits, labelled_logits, logits_at

VOCABULARY, ROWS, LENGTH = 50, 3, 7
SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
T5 = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}
BART = {
    "d_model": 16,
    **{f"{side}_{name}": value for side in ("encoder", "decoder") for name, value in (("layers", 1), ("ffn_dim", 32))},
}
GPT = {"n_embd": 16, "n_layer": 1, "n_head": 2}
NO_IDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
MASKED = {
    "bert": SMALL,
    "roberta": SMALL,
    "distilbert": {"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 32},
    "electra": SMALL | {"embedding_size": 16},
    "albert": SMALL | {"embedding_size": 16},
    "deberta-v2": SMALL,
    "mpnet": SMALL,
    "modernbert": SMALL | {"cls_token_id": 1, "sep_token_id": 2},
}
CAUSAL = {
    "gpt2": GPT,
    "gpt_neox": SMALL,
    "llama": SMALL,
    "opt": SMALL | {"ffn_dim": 32, "word_embed_proj_dim": 16},
    "gemma2": SMALL | {"head_dim": 8, "num_key_value_heads": 2, "final_logit_softcapping": 0.5},
    "cohere": SMALL | {"logit_scale": 3.0},
    "bloom": {"hidden_size": 16, "n_layer": 1, "n_head": 2},
}  # fmt: skip
SEQ2SEQ = {"t5": T5, "mt5": T5, "bart": BART}
MODELS = [
    *((AutoModelForMaskedLM, kind, settings, False) for kind, settings in MASKED.items()),
    *((AutoModelForCausalLM, kind, settings, True) for kind, settings in CAUSAL.items()),
    *((AutoModelForSeq2SeqLM, kind, settings, False) for kind, settings in SEQ2SEQ.items()),
]


def build(auto_class: Any, kind: str, settings: dict[str, Any]) -> Any:
    torch.manual_seed(3)
    config = AutoConfig.for_model(kind, vocab_size=VOCABULARY, **NO_IDS, **settings)
    return auto_class.from_config(config).eval()


def batch(model: Any) -> dict[str, Tensor]:
    """Rows of 7, 5 and 1 tokens; labels on some of them, on the first token too, and on none of the last row."""
    torch.manual_seed(4)
    ids = torch.randint(3, VOCABULARY, (ROWS, LENGTH))
    mask = torch.tensor([[1] * 7, [1] * 5 + [0] * 2, [1] + [0] * 6])
    labels = torch.full_like(ids, IGNORE_INDEX)
    labels[0, 0], labels[0, 4:], labels[1, 2] = ids[0, 0], ids[0, 4:], ids[1, 2]
    inputs = {"input_ids": ids, "attention_mask": mask, "labels": labels}
    return inputs | ({"decoder_input_ids": ids.flip(0)} if model.config.is_encoder_decoder else {})


def expected(model: Any, given: dict[str, Tensor], *, shift: bool) -> tuple[Tensor, Tensor]:
    """Logits of the counted tokens and their labels, of the whole of what the model says."""
    inputs = {name: tensor for name, tensor in given.items() if name != "labels"}
    logits, labels = model(**inputs).logits[:, -LENGTH:], given["labels"]
    if shift:
        logits, labels = logits[:, :-1], labels[:, 1:]
    return logits[labels != IGNORE_INDEX], labels[labels != IGNORE_INDEX]


def chunked(model: Any, given: dict[str, Tensor], *, shift: bool) -> LabelledLogits:
    """Labelled logits whose chunks are of two positions."""
    return replace(labelled_logits(model, given, shift=shift), chunk=2, whole=0)


def seen_by_output_layer(model: Any, given: dict[str, Tensor], *, shift: bool) -> list[int]:
    """How many positions came to the output layer, call by call, of a forward and a backward pass in chunks."""
    seen: list[int] = []
    layer = model.get_output_embeddings()
    handle = layer.register_forward_hook(lambda _layer, _given, said: seen.append(said[..., 0].numel()))
    chunked(model, given, shift=shift).losses().sum().backward()
    handle.remove()
    return seen


def gradients(model: Any, loss: Tensor) -> dict[str, Tensor]:
    """Gradients of a loss by weight."""
    weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    found = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
    return {name: torch.zeros(()) if one is None else one for name, one in zip(weights, found, strict=True)}


def whole_losses(model: Any, given: dict[str, Tensor], *, shift: bool) -> Tensor:
    logits, labels = expected(model, given, shift=shift)
    return functional.cross_entropy(logits.float(), labels, reduction="none")


def assert_alike(model: Any, given: dict[str, Tensor], *, shift: bool) -> None:
    """Losses and gradients, with a weight for each token, equal those of the whole projection; so do all logits."""
    logits, labels = expected(model, given, shift=shift)
    for found in (labelled_logits(model, given, shift=shift), chunked(model, given, shift=shift)):
        assert torch.equal(found.labels, labels)
        assert torch.allclose(found.each(lambda logits, _: logits), logits, atol=1e-5)
        weights = torch.arange(1.0, len(labels) + 1)
        whole = gradients(model, (whole_losses(model, given, shift=shift) * weights).sum())
        part = gradients(model, (found.losses() * weights).sum())
        assert all(torch.allclose(part[name], whole[name], atol=1e-4) for name in whole)


@pytest.mark.parametrize(("auto_class", "kind", "settings", "shift"), MODELS, ids=[kind for _, kind, *_ in MODELS])
def test_labelled_logits_are_those_of_the_whole(
    auto_class: Any, kind: str, settings: dict[str, Any], *, shift: bool
) -> None:
    model = build(auto_class, kind, settings)
    given = batch(model)
    assert_alike(model, given, shift=shift)
    count = len(expected(model, given, shift=shift)[1])
    chunks = [2, 2, 1] if count == 5 else [2, 2]
    seen = seen_by_output_layer(model, given, shift=shift)
    assert seen[: len(chunks) + 1] == [0, *chunks], "the others are left out"
    assert sorted(seen[len(chunks) + 1 :]) == sorted(chunks), "and each chunk is computed again, one at a time"


@pytest.mark.parametrize(
    "adapter",
    [
        LoraConfig(task_type="CAUSAL_LM", target_modules=["c_attn", "lm_head"], init_lora_weights=False),
        LoraConfig(task_type="CAUSAL_LM", target_modules=["c_attn"], modules_to_save=["lm_head"]),
        PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4),
    ],
    ids=["LoRA on the output layer too", "the output layer in full", "virtual tokens in front"],
)
def test_adapters_change_nothing_about_it(adapter: Any) -> None:
    model = get_peft_model(build(AutoModelForCausalLM, "gpt2", GPT), adapter).eval()
    assert_alike(model, batch(model), shift=True)


def test_dropout_of_an_adapter_on_the_output_layer_is_the_same_in_the_backward_pass() -> None:
    config = LoraConfig(target_modules=["lm_head"], lora_dropout=0.5, init_lora_weights=False)
    model = get_peft_model(build(AutoModelForCausalLM, "gpt2", GPT), config).train()
    model.base_model.model.transformer.eval()
    given, found = batch(model), {}
    weight = model.base_model.model.lm_head.lora_A["default"].weight
    for shift in (1e-2, -1e-2, 0.0):
        torch.manual_seed(9)
        with torch.no_grad():
            weight[0, 0] += shift
        loss = chunked(model, given, shift=True).losses().double().sum()
        found[shift] = loss.item()
        with torch.no_grad():
            weight[0, 0] -= shift
    slope = gradients(model, loss)["base_model.model.lm_head.lora_A.default.weight"][0, 0].item()
    assert slope == pytest.approx((found[1e-2] - found[-1e-2]) / 2e-2, rel=0.02, abs=1e-3)


@pytest.mark.parametrize("kind", ["gemma2", "llama", "gpt2"])
def test_half_precision_heads_are_those_of_the_whole(kind: str) -> None:
    model = build(AutoModelForCausalLM, kind, CAUSAL[kind]).to(torch.bfloat16)
    keep_half_precision(model)
    model.requires_grad_(requires_grad=False)
    model = get_peft_model(model, LoraConfig(target_modules="all-linear", init_lora_weights=False)).eval()
    assert model.get_output_embeddings().weight.dtype is torch.bfloat16
    assert_alike(model, batch(model), shift=True)


def test_mixed_precision_is_that_of_the_forward_pass_in_each_chunk() -> None:
    model = build(AutoModelForCausalLM, "llama", SMALL)
    given = batch(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        whole, found = whole_losses(model, given, shift=True), chunked(model, given, shift=True)
        logits = expected(model, given, shift=True)[0]
    assert logits.dtype is torch.bfloat16
    assert torch.equal(found.each(lambda logits, _: logits), logits.float())
    assert torch.equal(found.losses(), whole), "though the block has ended"


def test_rows_without_labels_have_no_loss_and_can_be_learned_from() -> None:
    model = build(AutoModelForCausalLM, "gpt2", GPT)
    given = batch(model)
    loss = chunked(model, given | {"labels": torch.full_like(given["labels"], IGNORE_INDEX)}, shift=True).losses().sum()
    loss.backward()
    assert loss.item() == 0


def test_values_of_tokens_find_their_rows_and_places() -> None:
    model = build(AutoModelForMaskedLM, "bert", SMALL)
    given = batch(model)
    found = chunked(model, given, shift=False)
    values = torch.arange(1.0, 6.0)
    assert found.row_sums(values).tolist() == [10.0, 5.0, 0.0]
    spread = torch.zeros(ROWS, LENGTH)
    spread[0, 0], spread[0, 4:], spread[1, 2] = 1, torch.tensor([2.0, 3.0, 4.0]), 5
    assert torch.equal(found.spread(values), spread)
    assert [len(labels) for _, labels in found.chunks()] == [2, 2, 1]
    cooled = (expected(model, given, shift=False)[0] / 2).log_softmax(-1)[torch.arange(5), found.labels]
    assert torch.allclose(found.losses(temperature=2.0), -cooled, atol=1e-6)


class Pools(nn.Module):
    """A model that does with its logits what can't be noted, by `change`."""

    def __init__(self, inner: Any, change: Callable[[Any], Any]) -> None:
        super().__init__()
        self.inner, self._change = inner, change

    def get_output_embeddings(self) -> Any:
        return self.inner.get_output_embeddings()

    def forward(self, **inputs: Tensor) -> Any:
        return SimpleNamespace(logits=self._change(self.inner(**inputs).logits))


@pytest.mark.parametrize(
    "change",
    [
        lambda logits: torch.stack([logits, logits]).sum(dim=0) / 2,
        lambda logits: logits if logits.abs().max() < 100 else logits / 2,
        lambda logits: logits.mul_(1.0),
    ],
    ids=["two in one", "looks at values", "in place"],
)
def test_a_model_that_needs_its_logits_says_all_of_them(change: Callable[[Any], Any]) -> None:
    model = Pools(build(AutoModelForCausalLM, "gpt2", GPT), change)
    given = batch(model.inner)
    logits, _ = expected(model, given, shift=True)
    assert torch.allclose(labelled_logits(model, given, shift=True).each(lambda one, _: one), logits)
    assert not model.inner.lm_head._forward_hooks, "nothing is left behind"


class Odd(nn.Module):
    """A model that says for each position its number, with an output layer as `layer` has it."""

    def __init__(self, layer: Any, *, flat: bool = False) -> None:
        super().__init__()
        self.layer, self._flat = layer, flat

    def get_output_embeddings(self) -> Any:
        return self.layer

    def forward(self, input_ids: Tensor) -> Any:
        places = torch.arange(float(input_ids.numel())).view(*input_ids.shape, 1)
        given = places.flatten(0, 1) if self._flat else places
        said = self.layer(given) if isinstance(self.layer, nn.Module) else given
        return SimpleNamespace(logits=said.view(*input_ids.shape, -1) if self._flat else said)


@pytest.mark.parametrize(
    "model", [Odd(nn.Identity()), Odd(nn.Identity(), flat=True), Odd(None)], ids=["plain", "rows run together", "none"]
)
def test_other_models_say_all_and_what_counts_is_picked(model: Odd) -> None:
    mask = torch.tensor([[False, True, True], [True, False, False]])
    ids = torch.zeros(2, 3)
    assert logits_at(model, {"input_ids": ids}, mask, ids).each(lambda one, _: one).flatten().tolist() == [1, 2, 3]
    if isinstance(model.layer, nn.Module):
        assert not model.layer._forward_pre_hooks, "nothing is left behind"
