"""Diagnosis of over- and underfitting from loss curves.

The validation loss decides; it is plain. The training loss is only compared with itself, because label smoothing and
class weights change its level, and dropout keeps it above what the model can do.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from finetune_api.curves import CurvePoint, Fit, Verdict
from finetune_api.outcome import Best

ENOUGH_POINTS = 3
"""Two evaluations make a line, and any two differ; three are the least that show a turn."""
RISE = 0.10
"""Rise of the validation loss over its best that counts, as a share of the best: smaller ones are noise of a split."""
LEAST_RISE = 0.02
"""And as a share of the prior's loss, so that a rise from 0.010 to 0.015 is not called overfitting."""
TRAIN_FALL = 0.05
"""Fall of the training loss since then, as a share, that shows that the model went on learning its rows."""
BARELY = 0.95
"""A loss above this share of the prior's loss: the text has taught the model next to nothing."""
STILL_FALLING = 0.03
"""Fall over a fifth of the steps at the end, as a share of the prior's loss: more training would have bought more."""
LEARNED = 0.5
"""A training loss below this share of the validation loss: there is little left to learn from the rows."""
LAST_FIFTH = 0.8
WINDOW = 0.1
"""Share of the steps over which the training loss is averaged: single batches jump."""


@dataclass(frozen=True)
class _Losses:
    """Loss by step. `scale` is the loss of the best constant prediction."""

    train: list[tuple[int, float]]
    validation: list[tuple[int, float]]
    scale: float

    @property
    def best(self) -> tuple[int, float]:
        return min(self.validation, key=lambda point: point[1])

    @property
    def last(self) -> tuple[int, float]:
        return self.validation[-1]

    def train_at(self, step: int) -> float | None:
        """Mean training loss of the steps that lead up to `step`."""
        known = [point for point in self.train if point[0] <= step]
        start = step - WINDOW * self.last[0]
        near = [loss for at, loss in known if at > start] or [loss for _, loss in known[-1:] or self.train[:1]]
        return sum(near) / len(near) if near else None


def diagnose_fit(curves: Sequence[CurvePoint], prior_loss: float | None = None, best: Best | None = None) -> Verdict:
    """Diagnose the fit from the curves.

    Args:
        curves: All points of the run, with `evalLoss` among the validation metrics.
        prior_loss: Loss of the best answer that ignores the text (`scores.prior_loss` of the validation targets).
        best: The state that was kept, to tell that later ones do no harm.
    """
    train = [(point.step, point.loss) for point in curves if point.loss is not None]
    validation = [(p.step, p.validation["evalLoss"]) for p in curves if "evalLoss" in p.validation]
    if not validation:
        advice = "Give validation rows, or let spec.data.split.validation take some from the training rows."
        return Verdict(fit=Fit.UNCERTAIN, reason="There are no losses on validation rows.", advice=advice)
    if validation[-1][0] == 0:
        return Verdict(fit=Fit.UNCERTAIN, reason="Training ended before the first evaluation on validation rows.")
    losses = _Losses(train, validation, prior_loss or max(loss for _, loss in validation))
    if len(validation) < ENOUGH_POINTS:
        nothing = _nothing_learned(losses, prior_loss)
        return nothing or _too_few(len(validation))
    return (
        _overfitting(losses, best)
        or _nothing_learned(losses, prior_loss)
        or _still_falling(losses)
        or _unstable(losses)
        or _good(losses)
    )


def diagnose_not_learned(verdict: Verdict, remark: str) -> Verdict:
    """The diagnosis of a model that is no improvement, as `remark` says, whatever its loss."""
    if verdict.fit not in {Fit.GOOD, Fit.UNCERTAIN}:
        return verdict
    return Verdict(
        fit=Fit.UNDERFITTING,
        reason=f"{remark[:1].upper()}{remark[1:]}.",
        advice="Check that labels belong to their texts, and that the base model knows the language and the words of "
        "the texts (unknown tokens in the data report); then raise the learning rate, train longer or on more rows.",
    )


def _too_few(points: int) -> Verdict:
    evaluations = "1 evaluation" if points == 1 else f"{points} evaluations"
    return Verdict(
        fit=Fit.UNCERTAIN,
        reason=f"There are only {evaluations} on validation rows; a trend takes at least {ENOUGH_POINTS}.",
        advice="Evaluate more often with spec.evaluation.evalSteps, or train for more epochs.",
    )


def _rises(losses: _Losses) -> bool:
    rise = losses.last[1] - losses.best[1]
    return rise > 0 and rise >= RISE * losses.best[1] and rise >= LEAST_RISE * losses.scale


def _overfitting(losses: _Losses, best: Best | None) -> Verdict | None:
    (best_step, best_loss), (last_step, last_loss) = losses.best, losses.last
    before, after = losses.train_at(best_step), losses.train_at(last_step)
    if not _rises(losses) or before is None or after is None or after > before * (1 - TRAIN_FALL):
        return None
    kept = _kept(best, best_step) if best else ""
    growth = (last_loss - best_loss) / (best_loss or losses.scale)
    return Verdict(
        fit=Fit.OVERFITTING,
        reason=f"From step {best_step} to {last_step} the validation loss rose from its best, {best_loss:.3g}, to "
        f"{last_loss:.3g} (+{growth:.0%}), while the training loss fell from {before:.3g} to "
        f"{after:.3g}: the model memorized its training examples.{kept}",
        advice="Train for fewer epochs or at a lower learning rate, add rows, or use a method with fewer trainable "
        "weights (LoRA with a lower rank, FeatureExtraction).",
    )


def _kept(best: Best, best_step: int) -> str:
    if best.step <= best_step:
        return f" The state of step {best.step} was kept, so the later ones do no harm."
    return f" The state of step {best.step} was kept for its {best.metric}; it is surer of itself than it should be."


def _nothing_learned(losses: _Losses, prior_loss: float | None) -> Verdict | None:
    step, loss = losses.best
    if not prior_loss or loss <= BARELY * prior_loss:
        return None
    return Verdict(
        fit=Fit.UNDERFITTING,
        reason=f"The best validation loss, {loss:.3g} at step {step}, is barely better than {prior_loss:.3g}, which "
        "an answer that ignores the text reaches.",
        advice="Check that labels belong to their texts; then raise the learning rate, train longer, or train more "
        "weights (LoRA with a higher rank, Full).",
    )


def _still_falling(losses: _Losses) -> Verdict | None:
    last_step, last_loss = losses.last
    earlier = [point for point in losses.validation if point[0] <= LAST_FIFTH * last_step]
    if losses.best[0] != last_step or not earlier:
        return None
    step, loss = earlier[-1]
    fall = (loss - last_loss) * (1 - LAST_FIFTH) * last_step / (last_step - step)
    if fall < STILL_FALLING * losses.scale:
        return None
    falling = f"from {loss:.3g} at step {step} to {last_loss:.3g} at step {last_step}"
    train = losses.train_at(last_step)
    if train is not None and train < LEARNED * last_loss:
        return _learned(falling, train)
    return Verdict(
        fit=Fit.UNDERFITTING,
        reason=f"The validation loss was still falling when training ended: {falling}.",
        advice="Train for more epochs, or raise the learning rate.",
    )


def _learned(falling: str, train: float) -> Verdict:
    return Verdict(
        fit=Fit.GOOD,
        reason=f"The validation loss fell to the end, {falling}. The training loss is at {train:.3g}, so its rows are "
        "nearly learned.",
        advice="A few more epochs may still help a little; more rows would help more.",
    )


def _unstable(losses: _Losses) -> Verdict | None:
    if not _rises(losses):
        return None
    (best_step, best_loss), (last_step, last_loss) = losses.best, losses.last
    return Verdict(
        fit=Fit.UNCERTAIN,
        reason=f"The validation loss rose from its best, {best_loss:.3g} at step {best_step}, to {last_loss:.3g} at "
        f"step {last_step}, and no fall of the training loss was seen meanwhile: training was unstable.",
        advice="Lower the learning rate, or warm up for longer (spec.training.warmupRatio).",
    )


def _good(losses: _Losses) -> Verdict:
    (best_step, best_loss), (last_step, last_loss) = losses.best, losses.last
    if best_step == last_step:
        reason = f"The validation loss fell to {best_loss:.3g} at step {best_step}, its best, and had levelled off."
    else:
        reason = (
            f"The validation loss reached its best, {best_loss:.3g}, at step {best_step} and stayed near it: "
            f"{last_loss:.3g} at step {last_step}."
        )
    return Verdict(fit=Fit.GOOD, reason=reason)
