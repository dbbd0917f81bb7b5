"""Probabilities, decisions and losses agree with torch and survive extreme logits."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from finetune_api.tasks import ProblemType
from finetune_trainer.evaluation.scores import predictions, prior_loss, probabilities, row_losses

SINGLE, MULTI, REGRESSION = ProblemType.SINGLE_LABEL, ProblemType.MULTI_LABEL, ProblemType.REGRESSION


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(7)


def test_row_losses_equal_torch_row_by_row(random: np.random.Generator) -> None:
    logits = random.normal(0, 5, (50, 4))
    classes, labels = random.integers(0, 4, 50), random.integers(0, 2, (50, 4))
    tensor = torch.tensor(logits)
    cross_entropy = functional.cross_entropy(tensor, torch.tensor(classes), reduction="none")
    binary = functional.binary_cross_entropy_with_logits(tensor, torch.tensor(labels).double(), reduction="none")
    np.testing.assert_allclose(row_losses(logits, classes, SINGLE), cross_entropy.numpy(), rtol=1e-12)
    np.testing.assert_allclose(row_losses(logits, labels, MULTI), binary.mean(dim=1).numpy(), rtol=1e-12)


def test_regression_takes_one_column_or_none(random: np.random.Generator) -> None:
    values, truth = random.normal(size=(9, 1)), random.normal(size=9)
    expected = (values[:, 0] - truth) ** 2
    np.testing.assert_allclose(row_losses(values, truth, REGRESSION), expected)
    np.testing.assert_allclose(row_losses(values[:, 0], truth[:, None], REGRESSION), expected)
    np.testing.assert_array_equal(predictions(values, REGRESSION), values[:, 0])


def test_extreme_logits_stay_finite() -> None:
    logits = np.array([[1e4, -1e4], [-1e4, 1e4]], dtype=np.float32)
    assert np.allclose(probabilities(logits, SINGLE), [[1, 0], [0, 1]])
    assert np.allclose(probabilities(logits, MULTI), [[1, 0], [0, 1]])
    assert np.allclose(row_losses(logits, np.array([0, 0]), SINGLE), [0, 2e4])
    assert np.allclose(row_losses(logits, np.array([[1, 0], [1, 0]]), MULTI), [0, 1e4])


def test_probabilities_are_float64_and_sum_to_one(random: np.random.Generator) -> None:
    chances = probabilities(random.normal(size=(20, 3)).astype(np.float32), SINGLE)
    assert chances.dtype == np.float64
    np.testing.assert_allclose(chances.sum(axis=1), 1)


def test_decisions_are_the_likeliest_class_and_labels_above_one_half() -> None:
    logits = np.array([[0.1, 3.0, -1.0], [2.0, 0.0, 1.0]])
    assert predictions(logits, SINGLE).tolist() == [1, 0]
    assert predictions(logits, MULTI).tolist() == [[1, 1, 0], [1, 0, 1]]


def test_prior_loss_is_what_no_constant_answer_beats(random: np.random.Generator) -> None:
    classes = np.array([0] * 6 + [1] * 3 + [2])
    logits = np.log([0.6, 0.3, 0.1]) * np.ones((10, 1))
    assert prior_loss(classes, SINGLE) == pytest.approx(row_losses(logits, classes, SINGLE).mean())
    for _ in range(20):
        other = logits + random.normal(0, 0.5, 3)
        assert row_losses(other, classes, SINGLE).mean() >= prior_loss(classes, SINGLE)


def test_prior_loss_of_labels_and_numbers() -> None:
    labels = np.array([[1, 0], [0, 0], [1, 0], [0, 0]])
    assert prior_loss(labels, MULTI) == pytest.approx(np.log(2) / 2)
    assert prior_loss(np.array([1.0, 3.0]), REGRESSION) == pytest.approx(1.0)
