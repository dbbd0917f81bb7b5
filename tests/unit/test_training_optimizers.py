"""Each optimizer of a job makes the step that its paper or library says, and keeps the state that is told of it."""

from collections.abc import Callable
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft.optimizers import create_loraplus_optimizer
from torch import nn

from finetune_api.method import Method
from finetune_api.tasks import MethodType
from finetune_api.training import Optimizer, Training
from finetune_trainer.methods import METHODS
from finetune_trainer.training.optimizers import build_optimizer, embedding_weights, state_bytes

Make = Callable[..., Any]
GRADIENTS = torch.randn(5, 80, 64, generator=torch.Generator().manual_seed(1))
START = torch.randn(80, 64, generator=torch.Generator().manual_seed(2))


def steps(optimizer: torch.optim.Optimizer, weight: nn.Parameter) -> np.ndarray[Any, Any]:
    """The weight after a step with each of the gradients."""
    for gradient in GRADIENTS:
        weight.grad = gradient[: len(weight)].clone()
        optimizer.step()
    return weight.detach().double().numpy()


def one_weight(**settings: Any) -> np.ndarray[Any, Any]:
    """`START` after five steps at a rate of 0.01 by a job's settings."""
    model = nn.Linear(64, 80, bias=False)
    model.weight = nn.Parameter(START.clone())
    training = Training.model_validate({"weightDecay": 0.1, **settings})
    return steps(build_optimizer(model, 0.01, training), model.weight)


def adamw(beta1: float, beta2: float, epsilon: float) -> np.ndarray[Any, Any]:
    """The same by algorithm 2 of arXiv:1711.05101."""
    weight, first, second = START.double().numpy(), 0.0, 0.0
    for number, gradient in enumerate(GRADIENTS.double().numpy(), start=1):
        first, second = beta1 * first + (1 - beta1) * gradient, beta2 * second + (1 - beta2) * gradient**2
        change = first / (1 - beta1**number) / (np.sqrt(second / (1 - beta2**number)) + epsilon)
        weight = weight - 0.01 * (change + 0.1 * weight)
    return weight


def adafactor() -> np.ndarray[Any, Any]:
    """The same by algorithm 4 of arXiv:1804.04235 with d = 1, eps1 = 1e-30 and decay step^-0.8, at a given rate."""
    weight, rows, columns = START.double().numpy(), 0.0, 0.0
    for number, gradient in enumerate(GRADIENTS.double().numpy(), start=1):
        decay, square = 1 - number**-0.8, gradient**2 + 1e-30
        rows = decay * rows + (1 - decay) * square.sum(axis=1, keepdims=True)
        columns = decay * columns + (1 - decay) * square.sum(axis=0, keepdims=True)
        change = gradient / np.sqrt(rows * columns / rows.sum())
        change /= max(1.0, sqrt(np.mean(change**2)))
        weight = weight - 0.01 * (change + 0.1 * weight)
    return weight


@pytest.mark.parametrize("settings", [{}, {"adamBeta1": 0.5}, {"adamBeta2": 0.9}, {"adamEpsilon": 0.3}])
def test_adamw(settings: dict[str, float]) -> None:
    expected = adamw(
        settings.get("adamBeta1", 0.9), settings.get("adamBeta2", 0.999), settings.get("adamEpsilon", 1e-8)
    )
    assert one_weight(**settings) == pytest.approx(expected, abs=2e-6)


def test_adafactor() -> None:
    assert one_weight(optimizer="Adafactor") == pytest.approx(adafactor(), abs=2e-6)


@pytest.mark.parametrize("settings", [{}, {"adamBeta1": 0.5, "adamBeta2": 0.9}])
def test_adamw_in_8_bits_goes_where_adamw_goes(settings: dict[str, float]) -> None:
    """By the paths of all weights together, to 3 %; single ones stray by their block's scale."""
    expected = adamw(settings.get("adamBeta1", 0.9), settings.get("adamBeta2", 0.999), 1e-8)
    found, start = one_weight(optimizer="AdamW8bit", **settings), START.double().numpy()
    assert np.linalg.norm(found - expected) < 0.03 * np.linalg.norm(expected - start)
    assert np.abs(found - expected).max() > 1e-6, "or nothing is in 8 bits"


def test_small_tensors_and_embeddings_stay_in_32_bits() -> None:
    model = nn.Sequential(nn.Embedding(80, 64), nn.Linear(64, 80, bias=False), nn.Linear(64, 8, bias=False))
    for module in model:
        module.weight = nn.Parameter(START[: len(module.weight)].clone())
    optimizer = build_optimizer(model, 0.01, Training(optimizer=Optimizer.ADAMW_8BIT, weight_decay=0.1))
    table, large, small = (steps_of(optimizer, model, module.weight) for module in model)
    assert table == pytest.approx(adamw(0.9, 0.999, 1e-8), abs=2e-6)
    assert small == pytest.approx(adamw(0.9, 0.999, 1e-8)[:8], abs=2e-6)
    assert np.abs(large - adamw(0.9, 0.999, 1e-8)).max() > 1e-6


def steps_of(optimizer: torch.optim.Optimizer, model: nn.Module, weight: nn.Parameter) -> np.ndarray[Any, Any]:
    for other in model.parameters():
        other.grad = None
    return steps(optimizer, weight)


@pytest.mark.parametrize("optimizer", Optimizer)
@pytest.mark.parametrize("module", [nn.Linear(64, 80), nn.Embedding(80, 64), nn.Linear(100, 97), nn.Conv1d(8, 16, 33)])
def test_bytes_of_the_state_are_those_that_are_kept(optimizer: Optimizer, module: nn.Module) -> None:
    built = build_optimizer(module, 0.01, Training(optimizer=optimizer))
    for weight in module.parameters():
        weight.grad = torch.randn_like(weight)
    built.step()
    embeddings = embedding_weights(module)
    for weight in module.parameters():
        held = sum(value.nbytes for value in built.state[weight].values() if isinstance(value, torch.Tensor))
        assert state_bytes(optimizer, tuple(weight.shape), is_embedding=id(weight) in embeddings) == held


def test_vectors_are_not_decayed() -> None:
    model = nn.Sequential(nn.Embedding(4, 3), nn.Linear(3, 3), nn.LayerNorm(3))
    model[1].weight.requires_grad_(requires_grad=False)
    optimizer = build_optimizer(model, 1e-3, Training(weight_decay=0.1))
    decayed, plain = optimizer.param_groups
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.1, 0.0)
    assert [list(weight.shape) for weight in decayed["params"]] == [[4, 3]]
    assert [list(weight.shape) for weight in plain["params"]] == [[3], [3], [3]]


def test_a_model_of_vectors_alone() -> None:
    assert len(build_optimizer(nn.LayerNorm(3), 1e-3, Training()).param_groups) == 1


@pytest.mark.parametrize("method", ["LoRA", "DoRA"])
@pytest.mark.parametrize("ratio", [16, 0.5])
def test_loraplus_has_the_rates_of_peft(method: str, ratio: float, tiny_classifier: Make, tmp_path: Path) -> None:
    """For A and B; the head, which LoRA+ says nothing of, has the rate that is set."""
    files, _, model = tiny_classifier("llama")
    settings = Method.model_validate({"type": method, method.lower(): {"loraplusLrRatio": ratio}})
    adapted = METHODS[MethodType(method)](model, files, settings, tmp_path)
    ours = build_optimizer(adapted.model, 0.01, Training(), adapted.lr_factor)
    theirs = create_loraplus_optimizer(
        model=adapted.model, optimizer_cls=torch.optim.AdamW, lr=0.01, loraplus_lr_ratio=ratio
    )
    expected, found = rates(theirs), rates(ours)
    names = {name: id(weight) for name, weight in adapted.model.named_parameters() if ".lora_" in name}
    of_matrices = {name: key for name, key in names.items() if "magnitude" not in name}
    assert len(of_matrices) > 4
    assert {name: found[key] for name, key in of_matrices.items()} == {
        name: pytest.approx(expected[key]) for name, key in of_matrices.items()
    }
    assert {found[id(weight)] for name, weight in adapted.model.named_parameters()
            if weight.requires_grad and "lora_" not in name} == {0.01}  # fmt: skip
    assert ours.param_groups[0]["lr"] == 0.01, "the rate that is shown"


def rates(optimizer: torch.optim.Optimizer) -> dict[int, float]:
    return {id(weight): group["lr"] for group in optimizer.param_groups for weight in group["params"]}
