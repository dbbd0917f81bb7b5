"""Parts of the memory estimate against counts made without it: real weights, saved tensors, caches, 4-bit matrices."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, DynamicCache

from finetune_api.method import Method
from finetune_api.tasks import MethodType, Task
from finetune_trainer.data.tokenising.collate import TokenRows
from finetune_trainer.data.tokenising.tokens import Tokens
from finetune_trainer.estimation.fit import Verdict, fits, halved_until_it_fits, verdict_on
from finetune_trainer.estimation.generation import bytes_per_token
from finetune_trainer.estimation.live_memory import ACTIVATIONS, ADAPTER, GRADIENTS, LOGITS, WEIGHTS
from finetune_trainer.estimation.passes import ValuelessModel, training_peak
from finetune_trainer.estimation.phases import MemoryEstimate, PassSize, Phase
from finetune_trainer.estimation.remedies import cut
from finetune_trainer.estimation.valueless import quantized_bytes, without_values
from finetune_trainer.methods import METHODS
from finetune_trainer.models.assembly import load_whole
from finetune_trainer.models.files import ModelFiles
from finetune_trainer.models.model_loading import ModelLoading
from finetune_trainer.training.losses.base import TokenLoss

TinyModel = Callable[..., Path]
ROWS, LENGTH = 4, 32
GIB = 1 << 30


@pytest.fixture
def tokens() -> Tokens:
    ids = np.arange(ROWS * LENGTH, dtype=np.int32) % 50 + 5
    offsets = np.arange(ROWS + 1) * LENGTH
    return Tokens(ids, offsets, np.full(ROWS, LENGTH, np.int32), labels=ids)


def valueless(folder: Path, method: MethodType) -> ValuelessModel:
    files = ModelFiles("tiny", folder, "", str(folder))
    model = load_whole(files, Task.CAUSAL_LM, ModelLoading(on_meta=True))
    adapted = METHODS[method](model, files, Method(type=method), folder)
    without_values(adapted.model)
    return ValuelessModel(adapted.model, model.config.vocab_size, is_adapter=method is MethodType.LORA)


def real(folder: Path, method: MethodType) -> torch.nn.Module:
    files = ModelFiles("tiny", folder, "", str(folder))
    return METHODS[method](load_whole(files, Task.CAUSAL_LM), files, Method(type=method), folder).model


def storages(tensors: list[torch.Tensor]) -> dict[int, int]:
    return {one.untyped_storage().data_ptr(): one.untyped_storage().nbytes() for one in tensors}


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("method", [MethodType.FULL, MethodType.LORA])
def test_weights_are_those_of_the_model(kind: str, method: MethodType, tiny_model: TinyModel) -> None:
    parts = valueless(tiny_model(kind, tie_word_embeddings=True), method).weights()
    model = real(tiny_model(kind, tie_word_embeddings=True), method)
    assert sum(parts.values()) == sum(storages([*model.parameters(), *model.buffers()]).values())
    trained = sum(weight.nbytes for weight in model.parameters() if weight.requires_grad)
    assert parts.get(ADAPTER, 0) == (trained if method is MethodType.LORA else 0)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("method", [MethodType.FULL, MethodType.LORA])
def test_activations_cover_what_autograd_saves(
    kind: str, method: MethodType, tiny_model: TinyModel, tokens: Tokens
) -> None:
    """At the peak there is all that the forward pass saved, and little more: logits with their gradients, one layer."""
    rows, part = TokenRows(tokens, 0), np.arange(ROWS)
    loss = TokenLoss(tokens.counted, shift=True)
    model, saved = real(tiny_model(kind, tie_word_embeddings=True), method).train(), list[torch.Tensor]()

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        saved.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss.total(model, rows.collate(part), part)
    weights = storages([*model.parameters(), *model.buffers()])
    counted = sum(size for place, size in storages(saved).items() if place not in weights)
    peak = training_peak(
        valueless(tiny_model(kind, tie_word_embeddings=True), method), loss, rows, part, accumulates=False
    )
    found = peak[ACTIVATIONS] + peak[LOGITS] + peak.get(GRADIENTS, 0)
    logits = ROWS * (LENGTH - 1) * len(model.get_output_embeddings().weight) * 4
    assert counted <= found <= 1.1 * counted + 3 * logits


def test_gradients_of_an_earlier_pass_count_where_a_step_has_several(tiny_model: TinyModel, tokens: Tokens) -> None:
    rows, part = TokenRows(tokens, 0), np.arange(ROWS)
    loss = TokenLoss(tokens.counted, shift=True)
    peaks = [
        training_peak(
            valueless(tiny_model("llama", tie_word_embeddings=True), MethodType.FULL),
            loss,
            rows,
            part,
            accumulates=several,
        )
        for several in (False, True)
    ]
    weights = sum(
        weight.nbytes for weight in real(tiny_model("llama", tie_word_embeddings=True), MethodType.FULL).parameters()
    )
    assert peaks[1][GRADIENTS] == weights
    assert peaks[0].get(GRADIENTS, 0) < weights
    assert peaks[0][WEIGHTS] == peaks[1][WEIGHTS]


@pytest.mark.parametrize("double_quant", [True, False])
@pytest.mark.parametrize("size", [(256, 512), (48, 80), (1024, 1024)])
def test_4_bit_matrices_have_the_bytes_of_bitsandbytes(size: tuple[int, int], double_quant: bool) -> None:
    from bitsandbytes.functional import quantize_4bit

    packed, state = quantize_4bit(torch.randn(size), quant_type="nf4", compress_statistics=double_quant)
    scales = [state.absmax, state.code]
    if double_quant:
        scales += [state.offset, state.state2.absmax, state.state2.code]
    real_bytes = packed.nbytes + sum(tensor.nbytes for tensor in scales)
    assert quantized_bytes(size[0] * size[1], double_quant=double_quant) == pytest.approx(real_bytes, abs=64)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_cached_token_has_the_bytes_of_the_real_cache(kind: str, tiny_model: TinyModel) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model(kind, tie_word_embeddings=True)).eval()
    cache = model(torch.ones(2, 7, dtype=torch.long), use_cache=True).past_key_values
    assert isinstance(cache, DynamicCache)
    real_bytes = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    assert 2 * 7 * bytes_per_token(model.config, 4) == real_bytes


def test_half_precision_needs_half_for_what_layers_compute(tiny_model: TinyModel, tokens: Tokens) -> None:
    rows, part = TokenRows(tokens, 0), np.arange(ROWS)
    loss = TokenLoss(tokens.counted, shift=True)
    peaks = []
    for autocast in (None, torch.bfloat16):
        model = valueless(tiny_model("llama", tie_word_embeddings=True), MethodType.LORA)
        mixed = ValuelessModel(model.model, model.vocabulary, is_adapter=True, autocast=autocast)
        peaks.append(sum(training_peak(mixed, loss, rows, part, accumulates=False).values()))
    assert peaks[1] < peaks[0]


def test_a_text_cut_keeps_its_first_tokens() -> None:
    tokens = Tokens(np.arange(7, dtype=np.int32), np.asarray([0, 5, 7]), np.asarray([5, 2], np.int32))
    shorter = cut(tokens, 3)
    assert shorter.ids.tolist() == [0, 1, 2, 5, 6]
    assert shorter.lengths.tolist() == [3, 2]


@pytest.mark.parametrize(
    ("memory", "verdict"), [(8, Verdict.TOO_LARGE), (10, Verdict.TIGHT), (12, Verdict.TIGHT), (13, Verdict.FITS)]
)
def test_a_job_is_refused_only_where_it_is_clearly_too_large(memory: int, verdict: Verdict) -> None:
    estimate = MemoryEstimate((Phase("load", {WEIGHTS: GIB}), Phase("train", {WEIGHTS: 10 * GIB})), on_gpu=True)
    assert verdict_on(estimate, memory * GIB) is verdict


def sized(tokens: int, length: int = 100) -> tuple[Phase, PassSize]:
    """Training of 10 GiB of weights, with 1 MiB of activations per token of its largest pass."""
    rows = max(1, tokens // length)
    return Phase("train", {WEIGHTS: 10 * GIB, ACTIVATIONS: rows * length << 20}), PassSize(rows, length)


@pytest.mark.parametrize(("gib", "tokens"), [(40, 16_000), (22, 8_000), (15, 2_000), (13, 200), (11, 100)])
def test_passes_are_halved_until_a_job_fits(gib: int, tokens: int) -> None:
    phase, largest = halved_until_it_fits(sized, 16_000, gib * GIB, on_gpu=True)
    assert largest.tokens == tokens
    assert fits(phase.total, gib * GIB, on_gpu=True) is (gib > 11)
