"""Training on a GPU: methods, optimizers, attention kernels and packing, on tiny models by whole jobs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune_api.report import Report
from finetune_trainer.models.attention import has_flash_attention

pytestmark = pytest.mark.gpu
Spec = Callable[..., dict[str, Any]]
NO_DROPOUT = {"lora": {"dropout": 0}, "qlora": {"dropout": 0}}


def method(kind: str) -> dict[str, Any]:
    block = {name: value for name, value in NO_DROPOUT.items() if name == kind.lower()}
    return {"type": kind, **block}


def trained(spec: dict[str, Any], folder: Path) -> Report:
    from ours import run_ours

    return run_ours(spec, folder)


def losses(report: Report) -> list[float]:
    return [point.loss for point in report.curves if point.loss is not None]


def falls(report: Report) -> bool:
    found = losses(report)
    return found[-1] < 0.9 * found[0]


@pytest.mark.parametrize("kind", ["Full", "LoRA", "QLoRA"])
@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_training_in_bf16(family: str, kind: str, spec: Spec, tmp_path: Path, device: str) -> None:
    report = trained(spec(family, method=method(kind)), tmp_path)
    assert falls(report), losses(report)
    assert report.hardware["precision"] == "BF16"
    assert (report.hardware["gpu"] == "none") == (device == "cpu")


@pytest.mark.parametrize("optimizer", ["AdamW8bit", "Adafactor"])
def test_training_by_another_optimizer(optimizer: str, spec: Spec, tmp_path: Path) -> None:
    report = trained(spec(method=method("Full"), optimizer=optimizer), tmp_path)
    assert falls(report), losses(report)


def test_recomputed_activations_give_the_same_losses(spec: Spec, tmp_path: Path) -> None:
    plain = trained(spec(), tmp_path)
    recomputed = trained(spec(activationCheckpointing=True), tmp_path)
    assert losses(recomputed) == pytest.approx(losses(plain), rel=0.02)


def needs_flash_attention(kernel: str, device: str) -> None:
    if kernel != "FlashAttention2":
        return
    if device == "cpu":
        pytest.skip("FlashAttention2 needs a GPU")
    if not has_flash_attention():
        pytest.skip("flash_attn is not installed")


@pytest.mark.parametrize("kernel", ["SDPA", "FlashAttention2"])
def test_kernels_learn_as_eager_attention_does(kernel: str, spec: Spec, tmp_path: Path, device: str) -> None:
    needs_flash_attention(kernel, device)
    eager = trained(spec(attnImplementation="Eager"), tmp_path)
    found = trained(spec(attnImplementation=kernel), tmp_path)
    assert losses(found) == pytest.approx(losses(eager), rel=0.03)


@pytest.mark.parametrize("kernel", ["SDPA", "FlashAttention2"])
def test_packed_rows_are_learned_as_if_alone(kernel: str, spec: Spec, tmp_path: Path, device: str) -> None:
    needs_flash_attention(kernel, device)
    alone = trained(spec(packing="Never", attnImplementation=kernel), tmp_path)
    packed = trained(spec(packing="Always", attnImplementation=kernel), tmp_path)
    assert losses(packed) == pytest.approx(losses(alone), rel=0.03)
    assert packed.throughput["paddingRatio"] == 0
