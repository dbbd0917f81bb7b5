"""Calibration error: 0 where confidence is honest, the gap where it is not, and never outside [0, 1]."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune_api.tasks import ProblemType
from finetune_trainer.evaluation.calibration import BINS, decisions, expected_calibration_error, reliability
from finetune_trainer.evaluation.scores import Scored


def honest(levels: list[float], rows_each: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows at each confidence level, exactly that share of them right."""
    confidence = np.repeat(levels, rows_each)
    right = np.concatenate([np.arange(rows_each) < round(level * rows_each) for level in levels])
    return confidence, right


def test_honest_confidence_has_no_error() -> None:
    assert expected_calibration_error(*honest([0.5, 0.6, 0.75, 0.9], 20)) == pytest.approx(0, abs=1e-12)


def test_the_error_is_the_gap_of_a_model_that_is_always_too_sure() -> None:
    confidence, right = honest([0.5, 0.6, 0.7], 10)
    assert expected_calibration_error(confidence + 0.25, right) == pytest.approx(0.25)


def test_bins_have_equal_mass_and_rise() -> None:
    confidence = np.random.default_rng(1).uniform(0.3, 1, 150)
    bins = reliability(confidence, confidence > 0.5)
    assert [b.rows for b in bins] == [10] * BINS
    assert [b.confidence for b in bins] == sorted(b.confidence for b in bins)


def test_rows_of_equal_confidence_share_a_bin() -> None:
    assert [b.rows for b in reliability(np.full(100, 0.8), np.arange(100) < 80)] == [100]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_error_is_in_its_range_and_blind_to_order(rows: list[tuple[float, bool]]) -> None:
    confidence, right = np.array([c for c, _ in rows]), np.array([r for _, r in rows])
    error = expected_calibration_error(confidence, right)
    assert 0 <= error <= 1
    assert sum(b.rows for b in reliability(confidence, right)) == len(rows)
    order = np.random.default_rng(len(rows)).permutation(len(rows))
    assert expected_calibration_error(confidence[order], right[order]) == pytest.approx(error, abs=1e-9)


def test_every_label_decision_counts_for_multi_label() -> None:
    logits = np.array([[2.0, -2.0], [2.0, 2.0]])
    targets = np.array([[1, 0], [1, 0]])
    confidence, right = decisions(Scored(logits, targets, ProblemType.MULTI_LABEL, ["a", "b"]))
    assert confidence.tolist() == pytest.approx([0.8808] * 4, abs=1e-4)
    assert right.tolist() == [True, True, True, False]
