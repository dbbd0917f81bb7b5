"""Only tokens with a label are projected onto the vocabulary, and what comes of it is what the whole would give."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSeq2SeqLM

from finetune_trainer.data.tokenising.tokens import IGNORE_INDEX
from finetune_trainer.training.speedups.labelled_logits import labelled_logits, logits_at

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


def seen_by_output_layer(model: Any, given: dict[str, Tensor], *, shift: bool) -> list[int]:
    """How many positions came to the output layer, call by call."""
    seen: list[int] = []
    layer = model.get_output_embeddings()
    handle = layer.register_forward_hook(lambda _layer, _given, said: seen.append(said[..., 0].numel()))
    labelled_logits(model, given, shift=shift)
    handle.remove()
    return seen  # fmt: skip


@pytest.mark.parametrize(("auto_class", "kind", "settings", "shift"), MODELS, ids=[kind for _, kind, *_ in MODELS])
def test_counted_logits_are_those_of_the_whole(
    auto_class: Any, kind: str, settings: dict[str, Any], *, shift: bool
) -> None:
    model = build(auto_class, kind, settings)
    given = batch(model)
    logits, labels = expected(model, given, shift=shift)
    found = labelled_logits(model, given, shift=shift)
    assert torch.equal(found.labels, labels)
    assert torch.allclose(found.logits, logits, atol=1e-5)
    assert seen_by_output_layer(model, given, shift=shift) == [len(labels)], "the others are left out"
    whole = torch.autograd.grad(logits.square().sum(), model.get_input_embeddings().weight)[0]
    part = torch.autograd.grad(found.logits.square().sum(), model.get_input_embeddings().weight)[0]
    assert torch.allclose(part, whole, atol=1e-4), "and what is learned of them is the same"


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
    given = batch(model)
    logits, labels = expected(model, given, shift=True)
    found = labelled_logits(model, given, shift=True)
    assert torch.allclose(found.logits, logits, atol=1e-5)
    assert seen_by_output_layer(model, given, shift=True) == [len(labels)]


def test_values_of_tokens_find_their_rows_and_places() -> None:
    model = build(AutoModelForMaskedLM, "bert", SMALL)
    given = batch(model)
    found = labelled_logits(model, given, shift=False)
    values = torch.arange(1.0, 6.0)
    assert found.row_sums(values).tolist() == [10.0, 5.0, 0.0]
    spread = torch.zeros(ROWS, LENGTH)
    spread[0, 0], spread[0, 4:], spread[1, 2] = 1, torch.tensor([2.0, 3.0, 4.0]), 5
    assert torch.equal(found.spread(values), spread)
    assert [len(labels) for _, labels in found.by_row()] == [4, 1, 0]
    cooled = (found.logits / 2).log_softmax(-1)[torch.arange(5), found.labels]
    assert torch.allclose(found.losses(temperature=2.0), -cooled)


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
    assert logits_at(model, {"input_ids": torch.zeros(2, 3)}, mask).flatten().tolist() == [1, 2, 3]
    if isinstance(model.layer, nn.Module):
        assert not model.layer._forward_pre_hooks, "nothing is left behind"
