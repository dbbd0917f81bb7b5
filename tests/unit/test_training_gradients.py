"""The gradient of a step is the mean over its rows, however they are cut up (transformers#47688 is the trap)."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from finetune_api.tasks import ProblemType
from finetune_api.training import Training
from finetune_trainer.data.tokenising.batches import Rows
from finetune_trainer.data.tokenising.collate import FeatureRows
from finetune_trainer.training.losses.classification import Objective, build_objective

ROWS, LABELS = 40, 3
CLASSES = torch.tensor([0, 0, 0, 0, 0, 1, 1, 2] * 5)
BITS = (torch.arange(ROWS)[:, None] % torch.tensor([2, 3, 7]) == 0).float()
NUMBERS = torch.linspace(-2, 3, ROWS)
CASES = {
    "classes": (ProblemType.SINGLE_LABEL, CLASSES, {}),
    "weighted and smoothed": (
        ProblemType.SINGLE_LABEL,
        CLASSES,
        {"class_weights": "Balanced", "label_smoothing": 0.1},
    ),
    "labels": (ProblemType.MULTI_LABEL, BITS, {"class_weights": "Balanced", "label_smoothing": 0.1}),
    "numbers": (ProblemType.REGRESSION, NUMBERS, {}),
}
cases = pytest.mark.parametrize(("problem", "targets", "training"), CASES.values(), ids=CASES)
Train = Callable[..., Any]


class Net(nn.Module):
    """As little as a model of the loop can be."""

    def __init__(self, labels: int) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.layers = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, labels))

    def forward(self, features: Tensor) -> Any:
        return type("Output", (), {"logits": self.layers(features)})


def rows() -> FeatureRows:
    return FeatureRows(torch.randn(ROWS, 6, generator=torch.Generator().manual_seed(5)))


def trained(train: Train, objective: Objective, targets: Tensor, per_device_batch_size: int, **more: Any) -> Any:
    net = Net(1 if objective.problem is ProblemType.REGRESSION else LABELS)
    result = train(net, rows(), targets, objective, steps=6, per_device_batch_size=per_device_batch_size, **more)
    return result.curves, torch.cat([weight.detach().flatten() for weight in net.parameters()])


def objective_of(problem: ProblemType, targets: Tensor, training: dict[str, Any]) -> Objective:
    return build_objective(problem, targets.numpy(), LABELS, Training.model_validate(training))


@cases
def test_accumulation_changes_nothing(
    train: Train, problem: ProblemType, targets: Tensor, training: dict[str, Any]
) -> None:
    objective = objective_of(problem, targets, training)
    whole, weights = trained(train, objective, targets, 8)
    for size in (1, 2, 3):
        parts, other = trained(train, objective, targets, size)
        for one, two in zip(whole, parts, strict=True):
            assert one.loss == pytest.approx(two.loss, rel=1e-5)
            assert one.gradient_norm == pytest.approx(two.gradient_norm, rel=1e-4)
        assert torch.allclose(weights, other, atol=1e-6)


def test_a_mean_of_means_would_be_noticed(train: Train) -> None:
    """What heads of transformers return: the mean of each part, here weighted alike."""

    class MeanOfMeans(Objective):
        def loss_sum(self, logits: Tensor, targets: Tensor) -> Tensor:
            return super().loss_sum(logits, targets) / super().weight(targets)

        def weight(self, targets: Tensor) -> float:
            return -(-len(targets) // 3)

    weights = torch.tensor([0.2, 1.0, 3.0])
    _, whole = trained(train, Objective(ProblemType.SINGLE_LABEL, weights), CLASSES, 8)
    _, wrong = trained(train, MeanOfMeans(ProblemType.SINGLE_LABEL, weights), CLASSES, 3)
    assert not torch.allclose(whole, wrong, atol=1e-4)


@cases
def test_a_step_is_torchs_mean_loss(problem: ProblemType, targets: Tensor, training: dict[str, Any]) -> None:
    objective = objective_of(problem, targets, training)
    batch = torch.tensor([0, 5, 7, 9, 12, 21, 30, 39])
    chosen, smooth = targets[batch], training.get("label_smoothing", 0.0)
    net = Net(1 if problem is ProblemType.REGRESSION else LABELS)
    logits = net(**rows().collate(batch.numpy())).logits
    if problem is ProblemType.SINGLE_LABEL:
        expected = functional.cross_entropy(logits, chosen, weight=objective.class_weights, label_smoothing=smooth)
    elif problem is ProblemType.MULTI_LABEL:
        soft = chosen * (1 - smooth) + 0.5 * smooth
        expected = functional.binary_cross_entropy_with_logits(logits, soft, pos_weight=objective.class_weights)
    else:
        expected = functional.mse_loss(logits.squeeze(-1), chosen)
    assert (objective.loss_sum(logits, chosen) / objective.weight(chosen)).item() == pytest.approx(expected.item())


def test_balanced_weights() -> None:
    classes = objective_of(ProblemType.SINGLE_LABEL, CLASSES, {"class_weights": "Balanced"}).class_weights
    assert classes is not None
    assert classes.tolist() == pytest.approx([40 / (3 * 25), 40 / (3 * 10), 40 / (3 * 5)])
    always = torch.ones(10, 3)
    always[:5, 1] = 0
    always[:, 2] = 0
    labels = objective_of(ProblemType.MULTI_LABEL, always, {"class_weights": "Balanced"}).class_weights
    assert labels is not None
    assert labels.tolist() == pytest.approx([0.1, 1, 9]), "a label that every row has must keep a gradient"


def test_a_real_model_gives_the_same_gradients_in_parts(
    tiny_classifier: Callable[..., Any], tiny_rows: Callable[..., Any], train: Train, sentences: list[str]
) -> None:
    """8 x 1 and 2 x 4 with rows of different lengths: padding and grouping change nothing either."""
    _, tokenizer, model = tiny_classifier("bert")
    texts = [" ".join(sentences[n % 24].split()[: 3 + n % 6]) for n in range(ROWS)]
    found = []
    for size, budget in ((8, 4_096), (4, 4_096), (1, 4_096), (0, 20)):
        tuned = copy.deepcopy(model)
        result = train(
            tuned,
            tiny_rows(texts, tokenizer),
            CLASSES,
            Objective(ProblemType.SINGLE_LABEL, torch.tensor([0.5, 1.0, 2.0]), 0.1),
            steps=4,
            learning_rate=1e-3,
            per_device_batch_size=size,
            token_budget=budget,
        )
        found.append([(point.loss, point.gradient_norm) for point in result.curves])
    for other in found[1:]:
        assert np.allclose(found[0], other, rtol=1e-3)


def test_rows_of_a_step_are_all_used_once(train: Train) -> None:
    seen: list[int] = []

    class Watched(FeatureRows):
        def collate(self, rows: Rows) -> dict[str, Tensor]:
            seen.extend(rows.tolist())
            return super().collate(rows)

    train(Net(LABELS), Watched(rows().features), CLASSES, Objective(ProblemType.SINGLE_LABEL), steps=5)
    assert sorted(seen) == list(range(ROWS))
