"""Constructed curves get the verdict that a person would give, with the figures in it."""

from collections.abc import Sequence

import pytest

from finetune_api.curves import CurvePoint, Fit
from finetune_api.outcome import Best
from finetune_trainer.evaluation.fit_diagnosis import diagnose_fit


def curves(train: Sequence[float | None], validation: Sequence[float], every: int = 10) -> list[CurvePoint]:
    """One point an epoch of `every` steps."""
    return [
        CurvePoint(step=every * (i + 1), epoch=i + 1, loss=t, validation={"evalLoss": v})
        for i, (t, v) in enumerate(zip(train, validation, strict=True))
    ]


FALLING = [1.2, 0.8, 0.5, 0.3, 0.15, 0.06]


def test_rising_validation_loss_under_falling_training_loss_is_overfitting() -> None:
    verdict = diagnose_fit(curves(FALLING, [1.1, 0.8, 0.7, 0.75, 0.85, 1.0]), prior_loss=1.386)
    assert verdict.fit is Fit.OVERFITTING
    for figure in ("step 30", "0.7", "+43%", "0.5", "0.06"):
        assert figure in verdict.reason
    assert verdict.advice


def test_overfitting_tells_that_the_best_state_was_kept() -> None:
    best = Best(step=30, metric="evalLoss", value=0.7)
    points = curves(FALLING, [1.1, 0.8, 0.7, 0.75, 0.85, 1.0])
    assert "step 30 was kept" in diagnose_fit(points, 1.386, best).reason
    assert "was kept" not in diagnose_fit(points, 1.386).reason


def test_a_wobble_of_the_validation_loss_is_no_overfitting() -> None:
    assert diagnose_fit(curves(FALLING, [1.1, 0.8, 0.7, 0.69, 0.7, 0.72]), 1.386).fit is Fit.GOOD


def test_a_tiny_loss_that_doubles_is_no_overfitting() -> None:
    assert diagnose_fit(curves(FALLING, [0.3, 0.1, 0.010, 0.008, 0.010, 0.016]), 1.386).fit is Fit.GOOD


def test_a_loss_near_the_prior_is_underfitting() -> None:
    verdict = diagnose_fit(curves([1.40, 1.39, 1.38, 1.38], [1.39, 1.38, 1.37, 1.37]), prior_loss=1.386)
    assert verdict.fit is Fit.UNDERFITTING
    assert "1.39" in verdict.reason


def test_a_loss_that_still_falls_at_the_end_is_underfitting() -> None:
    verdict = diagnose_fit(curves([1.3, 1.1, 0.9, 0.75], [1.25, 1.05, 0.88, 0.74]), prior_loss=1.386)
    assert verdict.fit is Fit.UNDERFITTING
    assert "still falling" in verdict.reason


def test_the_same_fall_over_many_small_steps_is_seen() -> None:
    validation = [1.3 - 0.012 * i for i in range(50)]
    assert diagnose_fit(curves(validation, validation), prior_loss=1.386).fit is Fit.UNDERFITTING


def test_a_loss_that_levelled_off_is_good() -> None:
    verdict = diagnose_fit(curves([1.2, 0.7, 0.5, 0.45, 0.42], [1.1, 0.7, 0.55, 0.53, 0.525]), prior_loss=1.386)
    assert verdict.fit is Fit.GOOD
    assert "0.525" in verdict.reason


@pytest.mark.parametrize("points", [1, 2])
def test_too_few_points_are_uncertain(points: int) -> None:
    verdict = diagnose_fit(curves([1.0, 0.5][:points], [0.9, 0.6][:points]), prior_loss=1.386)
    assert verdict.fit is Fit.UNCERTAIN
    assert "evalSteps" in verdict.advice


def test_one_point_at_the_prior_is_enough_to_see_that_nothing_was_learned() -> None:
    assert diagnose_fit(curves([1.4], [1.38]), prior_loss=1.386).fit is Fit.UNDERFITTING


def test_no_validation_rows_are_uncertain() -> None:
    points = [CurvePoint(step=i, epoch=i, loss=1 / i) for i in range(1, 9)]
    assert diagnose_fit(points).fit is Fit.UNCERTAIN
    assert diagnose_fit([]).fit is Fit.UNCERTAIN


def test_both_losses_rising_is_called_unstable_not_overfitting() -> None:
    verdict = diagnose_fit(curves([1.0, 0.6, 0.5, 0.9, 1.3], [0.9, 0.6, 0.55, 0.9, 1.2]), prior_loss=1.386)
    assert verdict.fit is Fit.UNCERTAIN
    assert "unstable" in verdict.reason


def test_label_smoothing_lifts_the_training_loss_and_changes_nothing() -> None:
    validation = [1.1, 0.8, 0.7, 0.75, 0.85, 1.0]
    lifted = [loss + 0.4 for loss in FALLING]
    assert diagnose_fit(curves(lifted, validation), 1.386).fit is Fit.OVERFITTING
    assert diagnose_fit(curves(lifted, [1.1, 0.8, 0.7, 0.69, 0.69, 0.7]), 1.386).fit is Fit.GOOD


def test_missing_training_losses_and_a_missing_prior_are_no_trouble() -> None:
    assert diagnose_fit(curves([None] * 4, [1.1, 0.7, 0.9, 1.2])).fit is Fit.UNCERTAIN
    assert diagnose_fit(curves([1.0, 0.5, 0.4, 0.3], [0.0, 0.0, 0.0, 0.0])).fit is Fit.GOOD


def test_noisy_batch_losses_are_averaged() -> None:
    points = [
        CurvePoint(step=step, epoch=step / 100, loss=1.5 / (1 + step / 40) + (0.3 if step % 2 else -0.3))
        for step in range(1, 401)
    ]
    validation = {100: 0.8, 200: 0.6, 300: 0.7, 400: 0.9}
    points = [p.model_copy(update={"validation": {"evalLoss": validation[p.step]}}) if p.step in validation else p
              for p in points]  # fmt: skip
    assert diagnose_fit(points, 1.386).fit is Fit.OVERFITTING


def test_a_model_that_only_got_worse_from_its_first_measurement_is_overfitting() -> None:
    start = CurvePoint(step=0, epoch=0, validation={"evalLoss": 0.9})
    assert diagnose_fit([start, *curves(FALLING, [1.0, 1.1, 1.2, 1.4, 1.6, 1.9])], 1.386).fit is Fit.OVERFITTING


def test_a_fall_over_half_of_a_short_run_is_measured_per_fifth() -> None:
    start = CurvePoint(step=0, epoch=0, validation={"evalLoss": 1.4})
    assert diagnose_fit([start, *curves([0.9, 0.4], [0.45, 0.40])], 1.386).fit is Fit.GOOD
    assert diagnose_fit([start, *curves([1.2, 1.0], [1.20, 0.95])], 1.386).fit is Fit.UNDERFITTING


def test_a_state_kept_after_the_turn_is_not_called_harmless() -> None:
    points = curves(FALLING, [1.1, 0.8, 0.7, 0.75, 0.85, 1.0])
    reason = diagnose_fit(points, 1.386, Best(step=60, metric="accuracy", value=0.8)).reason
    assert "step 60 was kept for its accuracy" in reason
    assert "no harm" not in reason


def test_a_measurement_before_the_first_step_says_nothing_about_training() -> None:
    verdict = diagnose_fit([CurvePoint(step=0, epoch=0, validation={"evalLoss": 1.386})], 1.386)
    assert verdict.fit is Fit.UNCERTAIN
    assert "before the first evaluation" in verdict.reason


def test_a_loss_that_still_falls_over_learned_rows_is_no_underfitting() -> None:
    verdict = diagnose_fit(
        curves([1.3, 0.8, 0.4, 0.25, 0.15, 0.07], [1.3, 0.85, 0.67, 0.58, 0.5, 0.38]), prior_loss=1.79
    )
    assert verdict.fit is Fit.GOOD
    assert "from 0.58 at step 40 to 0.38 at step 60" in verdict.reason
    assert "0.07" in verdict.reason
