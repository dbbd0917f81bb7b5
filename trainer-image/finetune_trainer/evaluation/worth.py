"""Was tuning worth it? The tuned model against the one it started from, and against examples in the prompt. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from finetune_api.job import Spec
from finetune_api.metrics import Metric, find_metric
from finetune_api.outcome import EvaluationResult, cut

_LONGEST = 512
_OF_TEXTS = ("exactMatch", "rougeL")
_TUNED, _UNTOUCHED = "the tuned model", "the untouched model"


@dataclass(frozen=True)
class Worth:
    """What the figures say of tuning."""

    remark: str
    is_good: bool
    """Whether the tuned model is the best one."""


def judge_worth(spec: Spec, found: EvaluationResult, split: str) -> Worth | None:
    """Compare by `evaluation.metric`, on the rows of `split`.

    None where there is nothing to say: the tuned model is no worse, and nobody asked for examples in the prompt.
    """
    metric = find_metric(spec.task, spec.evaluation.metric)
    if metric is None:
        return None
    examples = spec.evaluation.few_shot.examples
    models = {_TUNED: found.metrics, _shown(examples): found.few_shot, _UNTOUCHED: found.baseline}
    values = {name: figures[metric.name] for name, figures in models.items() if metric.name in figures}
    if _TUNED not in values:
        return None
    if _UNTOUCHED in values and _is_worse(metric, values[_TUNED], values[_UNTOUCHED]):
        return Worth(cut(_worse(metric, values, split), _LONGEST), is_good=False)
    if not found.few_shot:
        return None
    best = _best(metric, values)
    others = "".join(
        f"; by {name}, {winner} is the best" for name, winner in _winners(spec, models).items() if winner != best
    )
    return Worth(cut(f"{_ranking(metric, values, best, split)}{others}", _LONGEST), is_good=best == _TUNED)


def _shown(examples: int) -> str:
    return "1 example in the prompt" if examples == 1 else f"{examples} examples in the prompt"


def _is_worse(metric: Metric, value: float, than: float) -> bool:
    """Whether it is worse in the figures that people are shown."""
    return metric.better(value, than) < 0 and f"{value:.4g}" != f"{than:.4g}"


def _worse(metric: Metric, values: Mapping[str, float], split: str) -> str:
    change = f"{metric.name} {values[_UNTOUCHED]:.4g} -> {values[_TUNED]:.4g} on {split} rows"
    return (
        f"the tuned model is worse than the one it started from: {change}; gates can refuse this: "
        f"evaluation.gates: [{{metric: {metric.name}, maxRegression: 0}}]"
    )


def _best(metric: Metric, values: Mapping[str, float]) -> str:
    """The model with the best value; of equal ones the cheapest, which is told last."""
    return max(reversed(list(values)), key=lambda name: metric.better(values[name], 0))


def _winners(spec: Spec, models: Mapping[str, Mapping[str, float]]) -> dict[str, str]:
    """The best model by each metric of what was written that all of them have and that tells them apart."""
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
    advice = "" if best == _TUNED else ", so tuning was not worth it"
    return f"{best} {verb} best{advice}: {metric.name} {values[best]:.4g} on {split} rows, against {others}"
