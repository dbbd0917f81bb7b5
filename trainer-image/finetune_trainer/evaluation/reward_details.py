"""Samples of rewarded answers, and diagnosis of rewards during training."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from finetune_api.curves import CurvePoint, Fit, Verdict
from finetune_api.details import Details, Sample
from finetune_api.outcome import Best
from finetune_trainer.data.prepared import Examples
from finetune_trainer.evaluation.details import SAMPLES, WORST, shorten

_REWARD, _ZERO_VARIANCE = "meanReward", "zeroVarianceGroups"
_NEARLY_ALL = 0.95
_FALL = 0.5
"""Share of what was won that is lost again in a run that went wrong."""


@dataclass(frozen=True)
class RewardedAnswers:
    """Answers and rewards of one split; `baseline` is empty where the base model was not evaluated."""

    rows: Examples
    texts: Sequence[str]
    rewards: NDArray[np.float64]
    baseline: Sequence[str] = field(default_factory=list)

    def details(self, seed: int) -> Details:
        """The answers with the lowest rewards, and some drawn with `seed`."""
        order = np.argsort(self.rewards, kind="stable")
        poor = [row for row in order[:WORST] if self.rewards[row] < self.rewards.max()]
        drawn = np.sort(np.random.default_rng(seed).permutation(len(self.texts))[:SAMPLES])
        return Details(
            worst=[self._sample(int(row)) for row in poor], samples=[self._sample(int(row)) for row in drawn]
        )

    def _sample(self, row: int) -> Sample:
        return Sample(
            text=shorten(self.rows.texts[row]),
            expected=shorten(str(self.rows.labels[row])),
            predicted=shorten(self.texts[row]),
            baseline=shorten(self.baseline[row]) if self.baseline else "",
            place=self.rows.places[row],
        )


def diagnose_rewards(curves: Sequence[CurvePoint], best: Best | None) -> Verdict:
    """Diagnose training from sampled rewards on training prompts and greedy ones on validation prompts."""
    constant = [point.figures[_ZERO_VARIANCE] for point in curves if _ZERO_VARIANCE in point.figures]
    if constant and float(np.mean(constant)) > _NEARLY_ALL:
        return Verdict(
            fit=Fit.UNDERFITTING,
            reason=f"For {np.mean(constant):.0%} of the prompts all answers got the same reward, so there was next to "
            "nothing to learn from.",
            advice="Raise training.policy.temperature or numGenerations, tune on right answers first (CausalLM), or "
            "take easier prompts.",
        )
    measured = [(point.step, point.validation[_REWARD]) for point in curves if _REWARD in point.validation]
    if len(measured) < 2:
        advice = "Give validation rows, or evaluate more often with spec.evaluation.evalSteps."
        return Verdict(
            fit=Fit.UNCERTAIN, reason="There are too few rewards on validation rows to compare.", advice=advice
        )
    return _judge_measured(measured, best)


def _judge_measured(measured: Sequence[tuple[int, float]], best: Best | None) -> Verdict:
    (_, first), (last_step, last) = measured[0], measured[-1]
    top_step, top = max(measured, key=lambda point: point[1])
    if top <= first:
        return Verdict(
            fit=Fit.UNDERFITTING,
            reason=f"The mean reward on validation rows never rose above that of the base model, {first:.3g}.",
            advice="Train for longer or at a higher learning rate, and read the samples: is a better answer in reach?",
        )
    if top - last > _FALL * (top - first):
        kept = f" The state of step {best.step} was kept." if best else ""
        return Verdict(
            fit=Fit.OVERFITTING,
            reason=f"The mean reward on validation rows rose from {first:.3g} to {top:.3g} at step {top_step} and fell "
            f"again to {last:.3g} at step {last_step}.{kept}",
            advice="Lower the learning rate, raise training.policy.klCoefficient, or train for fewer steps.",
        )
    return Verdict(
        fit=Fit.GOOD,
        reason=f"The mean reward on validation rows rose from {first:.3g} to {top:.3g} at step {top_step} and was "
        f"{last:.3g} in the end.",
    )
