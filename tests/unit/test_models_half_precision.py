"""Frozen bases keep their number format: same results, adapters in FP32, merged with one rounding."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional

from finetune_api.failures import ModelUnsuitable
from finetune_api.inference import INFERENCE_NAME, InferenceSettings, Quantization
from finetune_api.method import Method, QLoRA, QuantType
from finetune_api.tasks import MethodType, ProblemType, Task
from finetune_trainer.methods import METHODS, Adapted
from finetune_trainer.models import upcast_modules
from finetune_trainer.models.assembly import load_whole
from finetune_trainer.models.auto_classes import auto_class
from finetune_trainer.models.classifier import read_config
from finetune_trainer.models.files import ModelFiles
from finetune_trainer.models.model_loading import FP32, ModelLoading, keep_4_bits_unpacked
from finetune_trainer.models.suitability import check_architecture
from finetune_trainer.models.tuned import load_tuned

KINDS = {
    "bert": Task.SEQUENCE_CLASSIFICATION,
    "gpt2": Task.CAUSAL_LM,
    "llama": Task.CAUSAL_LM,
    "t5": Task.SEQ2SEQ,
    "bart": Task.SEQ2SEQ,
}
_CONFIG: dict[str, dict[str, Any]] = {
    "t5": {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 0},
    "bart": {
        "d_model": 32,
        "max_position_embeddings": 64,
        **{f"{part}_{name}": 2 for part in ("encoder", "decoder") for name in ("layers", "attention_heads")},
        **{f"{part}_ffn_dim": 64 for part in ("encoder", "decoder")},
    },
}
OWN = ModelLoading(own_dtype=True)
IN_4_BITS = ModelLoading(own_dtype=True, quantization=Quantization())


@pytest.fixture
def base(tmp_path: Path, tiny_model: Callable[..., Path]) -> Callable[..., ModelFiles]:
    """A function from a model type to a random model of it whose weights are stored in a format, BF16 by default."""

    def make(kind: str, dtype: torch.dtype = torch.bfloat16) -> ModelFiles:
        from transformers import AutoConfig

        if kind in _CONFIG:
            config = AutoConfig.for_model(kind, vocab_size=100, pad_token_id=0, **_CONFIG[kind])
        else:
            config = AutoConfig.from_pretrained(tiny_model(kind))
        torch.manual_seed(3)
        model = auto_class(KINDS[kind]).from_config(config).to(dtype)
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(torch.randn(weight.shape) * 0.05)
        folder = tmp_path / f"{kind}-{dtype}"
        model.save_pretrained(folder)
        return ModelFiles("base", folder, "", str(folder))

    return make


def _batch(model: Any) -> dict[str, torch.Tensor]:
    ids = torch.randint(5, 90, (3, 12), generator=torch.Generator().manual_seed(0))
    more = {"decoder_input_ids": ids} if model.config.is_encoder_decoder else {}
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), **more}


def _adapted(files: ModelFiles, task: Task, how: ModelLoading, **method: Any) -> Adapted:
    settings = Method.model_validate({"type": "QLoRA" if how.quantization else "LoRA", **method})
    adapted = METHODS[settings.type](load_whole(files, task, how), files, settings, Path("/nowhere"))
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, weight in adapted.model.named_parameters():
            if "lora_" in name:
                weight.copy_(torch.randn(weight.shape, generator=generator) * 0.1)
    adapted.model.eval()
    return adapted


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", list(KINDS))
def test_results_and_gradients_are_those_of_a_base_in_fp32(
    kind: str, dtype: torch.dtype, base: Callable[..., ModelFiles]
) -> None:
    files = base(kind, dtype)
    seen = []
    for how in (FP32, OWN):
        adapted = _adapted(files, KINDS[kind], how)
        logits = adapted.model(**_batch(adapted.model)).logits
        logits.square().mean().backward()
        gradients = {n: w.grad for n, w in adapted.model.named_parameters() if w.requires_grad}
        seen.append((logits, gradients, adapted.model))
    (expected, slopes, _), (found, own, model) = seen
    assert found.dtype == torch.float32
    assert torch.allclose(found, expected, atol=1e-6)
    assert all(weight.dtype == torch.float32 for weight in model.parameters() if weight.requires_grad)
    assert slopes.keys() == own.keys()
    largest = max(gradient.abs().max() for gradient in slopes.values() if gradient is not None)
    for name, gradient in slopes.items():
        assert (gradient is None) == (own[name] is None)
        assert gradient is None or torch.allclose(own[name], gradient, atol=float(largest) * 1e-3), name
    matrices = [w for w in model.parameters() if not w.requires_grad and w.ndim == 2]
    half = sum(w.numel() for w in matrices if w.dtype == dtype)
    assert half > 0.7 * sum(w.numel() for w in matrices)


def test_a_large_matrix_is_converted_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upcast_modules, "_BLOCK", 64)
    torch.manual_seed(0)
    weight, bias = torch.randn(37, 16).to(torch.bfloat16), torch.randn(37)
    one, other = (torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(1)) for _ in range(2))
    expected = functional.linear(one.requires_grad_(), weight.float(), bias)
    found = upcast_modules.upcast_product(other.requires_grad_(), weight, bias)
    assert torch.allclose(found, expected, atol=1e-6)
    slope = torch.randn(expected.shape)
    expected.backward(slope)
    found.backward(slope)
    assert one.grad is not None
    assert other.grad is not None
    assert torch.allclose(other.grad, one.grad, atol=1e-5)


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_base_in_4_bits_computes_as_one_that_peft_prepares(kind: str, base: Callable[..., ModelFiles]) -> None:
    from peft import prepare_model_for_kbit_training
    from transformers import BitsAndBytesConfig

    files, task = base(kind), KINDS[kind]
    found = load_whole(files, task, IN_4_BITS).eval()
    names = {name for name, weight in found.named_parameters() if weight.dtype == torch.uint8}
    assert names
    kept = [name for name, module in found.named_modules() if isinstance(module, torch.nn.Linear)
            and f"{name}.weight" not in names]  # fmt: skip
    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        llm_int8_skip_modules=[f"{name}$" for name in kept],
    )
    theirs = auto_class(task).from_pretrained(files.folder, dtype=torch.bfloat16, quantization_config=config)
    theirs = prepare_model_for_kbit_training(theirs, use_gradient_checkpointing=False).eval()
    keep_4_bits_unpacked(theirs)
    with torch.no_grad():
        expected, got = theirs(**_batch(found)).logits, found(**_batch(found)).logits
    assert got.dtype == torch.float32
    assert torch.allclose(got, expected.float(), atol=1e-5)


def test_evaluating_a_base_in_4_bits_leaves_it_as_it_was(
    base: Callable[..., ModelFiles], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a processor with AVX-512 BF16, where bitsandbytes would pack the weights anew."""
    from bitsandbytes.nn import modules

    monkeypatch.setattr(modules, "has_avx512bf16", lambda: True)
    model = load_whole(base("llama"), Task.CAUSAL_LM, IN_4_BITS)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    with torch.no_grad():
        model.eval()(**_batch(model))
    after = model.state_dict()
    assert any(weight.dtype == torch.uint8 for weight in before.values())
    assert all(torch.equal(weight, after[name]) for name, weight in before.items())


@pytest.mark.parametrize("how", [OWN, IN_4_BITS], ids=["LoRA", "QLoRA"])
@pytest.mark.parametrize("kind", ["llama", "gpt2", "bert"])
def test_a_merged_weight_is_rounded_once(
    kind: str, how: ModelLoading, base: Callable[..., ModelFiles], tmp_path: Path
) -> None:
    """Computed independently: FP32 of the stored weight, and the product of the adapter's matrices times the scale."""
    files = base(kind)
    adapted = _adapted(files, KINDS[kind], how)
    adapted.save(tmp_path)
    adapter = {
        name.removeprefix("base_model.model."): w
        for name, w in load_file(tmp_path / "adapter_model.safetensors").items()
    }
    assert adapted.merge is not None
    adapted.merge(tmp_path / "merged", torch.bfloat16)
    before, after = (load_file(folder / "model.safetensors") for folder in (files.folder, tmp_path / "merged"))
    assert before.keys() == after.keys()
    changed = 0
    for name, weight in before.items():
        stem = name.removesuffix(".weight")
        expected = weight
        if f"{stem}.lora_A.weight" in adapter:
            change = 2 * adapter[f"{stem}.lora_B.weight"] @ adapter[f"{stem}.lora_A.weight"]  # alpha 16, rank 8
            expected = (weight.float() + (change.T if kind == "gpt2" else change)).to(torch.bfloat16)
            changed += 1
        if "classifier" not in name and "pooler" not in name:
            differing = (after[name].float() != expected.float()).float().mean()
            assert differing < 0.005, f"{name}: FP32 sums in another order may round otherwise, rarely"
    assert changed > 5


@pytest.mark.causes("ModelUnsuitable")
def test_a_base_that_is_quantized_already_is_refused(base: Callable[..., ModelFiles], tmp_path: Path) -> None:
    files = base("llama")
    load_whole(files, Task.CAUSAL_LM, IN_4_BITS).save_pretrained(tmp_path / "quantized")
    config = read_config(ModelFiles("quantized", tmp_path / "quantized", ""))
    with pytest.raises(ModelUnsuitable, match="quantized already") as failure:
        check_architecture(config, Task.CAUSAL_LM, "quantized")
    assert "QLoRA quantizes it" in failure.value.problems[0].hint


@pytest.mark.parametrize("quant_type", list(QuantType))
def test_a_qlora_result_predicts_over_the_base_that_it_was_trained_on(
    quant_type: QuantType, base: Callable[..., ModelFiles], tiny_classifier: Callable[..., Any], tmp_path: Path
) -> None:
    files, task = base("bert"), Task.SEQUENCE_CLASSIFICATION
    quantization = Quantization(quant_type=quant_type, double_quant=False)
    how = ModelLoading(own_dtype=True, quantization=quantization)
    adapted = _adapted(files, task, how, qlora=QLoRA(quant_type=quant_type, double_quant=False).model_dump())
    with torch.no_grad():
        expected = adapted.model(**_batch(adapted.model)).logits
    adapted.save(tmp_path)
    tiny_classifier("bert")[1].save_pretrained(tmp_path)
    settings = InferenceSettings(
        task=task, method=MethodType.QLORA, problem_type=ProblemType.SINGLE_LABEL, labels=["a", "b"], max_length=16,
        columns={}, clean={}, quantization=quantization,
    )  # fmt: skip
    (tmp_path / INFERENCE_NAME).write_text(settings.model_dump_json(by_alias=True, exclude_none=True))
    loaded = load_tuned(ModelFiles("tuned", tmp_path, "", base=files)).model
    with torch.no_grad():
        assert torch.equal(loaded(**_batch(loaded)).logits, expected)
