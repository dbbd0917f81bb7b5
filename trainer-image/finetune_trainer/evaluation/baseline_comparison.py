"""Tuned model against base model, best constant prediction and few-shot prompt. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from finetune_api.metrics import Metric, find_metric
from finetune_api.outcome import EvaluationResult, cut
from finetune_api.spec import Spec
from finetune_api.tasks import Task

_LONGEST = 512
_LOSS = "evalLoss"
_OF_TEXTS = ("exactMatch", "rougeL")
_QUALITY = {
    Task.SEQUENCE_CLASSIFICATION: ("accuracy", "f1Macro", "f1Micro", "r2"),
    Task.TOKEN_CLASSIFICATION: ("f1",),
    Task.SEQ2SEQ: ("exactMatch", "rougeL", "chrF"),
    Task.CAUSAL_LM: ("tokenAccuracy", "exactMatch", "rougeL"),
    Task.MASKED_LM: ("tokenAccuracy",),
    Task.PREFERENCE: ("rewardAccuracy",),
    Task.REWARD_MODEL: ("accuracy",),
    Task.POLICY_OPTIMIZATION: ("meanReward",),
}
"""Metrics of what a task is for, unlike its loss; what is worse by all of them is worse."""
_TUNED, _UNTOUCHED = "the tuned model", "the base model"


@dataclass(frozen=True)
class BaselineComparison:
    """Result of the comparison."""

    remark: str
    is_good: bool
    """Whether the tuned model is the best one."""
    has_learned: bool = True
    """Whether it is better than the base model and than an answer that ignores the input."""


@dataclass(frozen=True)
class ConstantBaseline:
    """Metrics of the best constant prediction."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    """Metrics of the best constant answer by the training rows."""
    constant: str = ""
    """The answer that the tuned model gives to every row, though others are expected; else nothing."""


def compare_with_baselines(
    spec: Spec, found: EvaluationResult, split: str, trivial: ConstantBaseline | None = None
) -> BaselineComparison | None:
    """Compare by `evaluation.metric` and by the task's quality metrics, on the rows of `split`.

    None where there is nothing to say: the tuned model is better, and nobody asked for examples in the prompt.
    """
    metric = find_metric(spec.task, spec.evaluation.metric)
    if metric is None:
        return None
    failed = _not_learned(spec, metric, found, split, trivial or ConstantBaseline())
    if failed:
        return BaselineComparison(cut(failed, _LONGEST), is_good=False, has_learned=False)
    examples = spec.evaluation.few_shot.examples
    models = {_TUNED: found.metrics, _shown(examples): found.few_shot, _UNTOUCHED: found.baseline}
    values = {name: figures[metric.name] for name, figures in models.items() if metric.name in figures}
    if _TUNED not in values:
        return None
    if not found.few_shot:
        return None
    best = _best(metric, values)
    others = "".join(
        f"; by {name}, {winner} is the best" for name, winner in _winners(spec, models).items() if winner != best
    )
    return BaselineComparison(cut(f"{_ranking(metric, values, best, split)}{others}", _LONGEST), is_good=best == _TUNED)


def _not_learned(spec: Spec, metric: Metric, found: EvaluationResult, split: str, trivial: ConstantBaseline) -> str:
    """Reason that the tuned model is no improvement, or empty."""
    tuned, base = found.metrics.get(metric.name), found.baseline.get(metric.name)
    if tuned is not None and base is not None and _is_worse(metric, tuned, base):
        return _worse(metric, {_TUNED: tuned, _UNTOUCHED: base}, split)
    if trivial.constant:
        return f"the tuned model has one answer for all {split} rows: {trivial.constant}"
    quality = [one for one in _quality(spec) if one.name in found.metrics]
    against = [one for one in quality if one.name in trivial.metrics]
    named = metric.name != _LOSS and metric.name in trivial.metrics and metric.name in found.metrics
    if against and all(_gain(one, found.metrics, trivial.metrics) <= 0 for one in against):
        return f"the tuned model is no better than {_ignoring(spec)}: {_pairs(against, found, trivial.metrics, split)}"
    if named and _gain(metric, found.metrics, trivial.metrics) <= 0:
        return f"the tuned model is no better than {_ignoring(spec)}: {_pairs([metric], found, trivial.metrics, split)}"
    before = [one for one in quality if one.name in found.baseline]
    if before and all(_is_worse(one, found.metrics[one.name], found.baseline[one.name]) for one in before):
        changes = _pairs(before, found, found.baseline, split)
        return f"the tuned model is worse than the one it started from, though {metric.name} is better: {changes}"
    return ""


def _quality(spec: Spec) -> list[Metric]:
    found = (find_metric(spec.task, name) for name in _QUALITY.get(spec.task, ()))
    return [metric for metric in found if metric is not None]


def _gain(metric: Metric, tuned: Mapping[str, float], than: Mapping[str, float]) -> float:
    return metric.better(tuned[metric.name], than[metric.name])


def _pairs(metrics: Sequence[Metric], found: EvaluationResult, than: Mapping[str, float], split: str) -> str:
    pairs = ", ".join(f"{one.name} {found.metrics[one.name]:.4g} against {than[one.name]:.4g}" for one in metrics)
    return f"{pairs} on {split} rows"


def _ignoring(spec: Spec) -> str:
    tags = spec.task is Task.TOKEN_CLASSIFICATION
    return "the most frequent tag for every word" if tags else "the most frequent answer for every row"


def _shown(examples: int) -> str:
    return "1 example in the prompt" if examples == 1 else f"{examples} examples in the prompt"


def _is_worse(metric: Metric, value: float, than: float) -> bool:
    """Whether it is worse in the leading metrics of the report."""
    return metric.better(value, than) < 0 and f"{value:.4g}" != f"{than:.4g}"


def _worse(metric: Metric, values: Mapping[str, float], split: str) -> str:
    change = f"{metric.name} {values[_UNTOUCHED]:.4g} -> {values[_TUNED]:.4g} on {split} rows"
    return (
        f"the tuned model is worse than the one it started from: {change}; gates can refuse this: "
        f"evaluation.gates: [{{metric: {metric.name}, maxRegression: 0}}]"
    )


def _best(metric: Metric, values: Mapping[str, float]) -> str:
    """The model with the best value; of equal ones the cheapest, which is listed last."""
    return max(reversed(list(values)), key=lambda name: metric.better(values[name], 0))


def _winners(spec: Spec, models: Mapping[str, Mapping[str, float]]) -> dict[str, str]:
    """The best model by each text metric that all models have and that differs."""
    winners = {}
    for name in _OF_TEXTS:
        metric, values = find_metric(spec.task, name), {model: figures.get(name) for model, figures in models.items()}
        known = {model: value for model, value in values.items() if value is not None}
        if metric is not None and len(known) == len(models) and len(set(known.values())) > 1:
            winners[name] = _best(metric, known)
    return winners


def _ranking(metric: Metric, values: Mapping[str, float], best: str, split: str) -> str:
    others = " and ".join(f"{value:.4g} for {name}" for name, value in values.items() if name != best)
    verb = "are" if best[0].isdigit() and not best.startswith("1 ") else "is"
    advice = "" if best == _TUNED else ", so tuning did not pay off"
    return f"{best} {verb} best{advice}: {metric.name} {values[best]:.4g} on {split} rows, against {others}"
