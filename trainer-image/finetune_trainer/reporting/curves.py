"""The learning curves of a run as charts: losses, metrics, learning rate and gradient norm."""

from collections.abc import Sequence

from finetune_api.curves import CurvePoint
from finetune_api.metrics import CATALOGUE
from finetune_api.report import Report
from finetune_api.tasks import ProblemType, Task
from finetune_trainer.reporting.charts import LineChart, Marker, Series
from finetune_trainer.reporting.headline import METRIC_TITLES, problem_of, task_of
from finetune_trainer.reporting.numbers import file_name
from finetune_trainer.reporting.scales import Point

METRICS_DRAWN = {
    ProblemType.SINGLE_LABEL: ("accuracy", "f1Macro"),
    ProblemType.MULTI_LABEL: ("f1Micro", "f1Macro", "averagePrecision"),
    ProblemType.REGRESSION: ("pearson", "spearman", "r2"),
}
DRAWN_OF_TASK = {
    Task.TOKEN_CLASSIFICATION: ("f1", "precision", "recall"),
    Task.SEQ2SEQ: ("rougeL", "chrF", "exactMatch"),
    Task.CAUSAL_LM: ("tokenAccuracy", "rougeL", "exactMatch"),
    Task.MASKED_LM: ("tokenAccuracy",),
    Task.PREFERENCE: ("rewardAccuracy", "likelihoodAccuracy"),
    Task.REWARD_MODEL: ("accuracy",),
    Task.POLICY_OPTIMIZATION: ("exactMatch",),
}
"""Those of the tasks that have no kinds of problems."""
FIGURE_TITLES = {
    "meanReward": "Mean reward",
    "kl": "KL divergence, nats per token",
    "entropy": "Entropy, nats per token",
    "answerTokens": "Tokens of a sampled answer",
    "zeroVarianceGroups": "Prompts whose answers all got one reward",
}
"""Titles of the charts of further figures of training."""
MOST_METRICS, SMALL = 3, 170
_UNBOUNDED = {metric.name for metrics in CATALOGUE.values() for metric in metrics.values() if metric.high > 1}


def draw_curves(report: Report) -> list[LineChart]:
    """Charts with at least one value, large ones first; empty for a run without steps."""
    curves = sorted(report.curves, key=lambda point: point.step)
    if not curves or curves[-1].step == 0:
        return []
    notes = {float(point.step): f"epoch {point.epoch:.3g}" for point in curves}
    best = report.evaluation.best
    marker = Marker(best.step, f"kept: step {best.step}") if best else None
    usual = DRAWN_OF_TASK.get(task_of(report)) or METRICS_DRAWN[problem_of(report)]
    metrics = _metrics(curves, (best.metric if best else "", *usual))
    rate = _series("learning rate", "rate", curves, "learning_rate")
    norm = _series("gradient norm", "norm", curves, "gradient_norm")
    charts = [
        LineChart("Loss", _losses(curves), marker=marker, notes=notes),
        LineChart("Metrics on validation rows", metrics, marker=marker, notes=notes),
        LineChart("Validation loss by source", _by_source(curves), marker=marker, notes=notes),
        *(LineChart(title, _figure(name, curves), SMALL, notes=notes) for name, title in FIGURE_TITLES.items()),
        LineChart("Learning rate", [rate], SMALL, notes=notes, from_zero=True),
        LineChart("Gradient norm before clipping", [norm], SMALL, notes=notes, from_zero=True),
    ]
    return [chart for chart in charts if any(series.known for series in chart.series)]


def _series(name: str, style: str, curves: Sequence[CurvePoint], field: str) -> Series:
    points: list[Point] = [(point.step, getattr(point, field)) for point in curves]
    first = next((i for i, (_, value) in enumerate(points) if value is not None), len(points))
    noisy = field != "learning_rate"
    return Series(name, style, _without_evaluation_only(points[first:]), noisy=noisy)


def _without_evaluation_only(points: list[Point]) -> list[Point]:
    """Drop missing values at steps with another point: evaluations may be separate points."""
    valued = {step for step, value in points if value is not None}
    return [(step, value) for step, value in points if value is not None or step not in valued]


def _losses(curves: Sequence[CurvePoint]) -> list[Series]:
    return [_series("training", "train", curves, "loss"), _validation("evalLoss", "validation", "validation", curves)]


def _metrics(curves: Sequence[CurvePoint], names: Sequence[str]) -> list[Series]:
    """The available metrics among `names` that share an axis; unbounded errors and the loss have their own."""
    known = {name for point in curves for name in point.validation}
    wanted = [name for name in dict.fromkeys(names) if name in known and name not in _UNBOUNDED]
    return [
        _validation(name, METRIC_TITLES.get(name, name), f"metric-{number}", curves)
        for number, name in enumerate(wanted[:MOST_METRICS])
    ]


def _by_source(curves: Sequence[CurvePoint]) -> list[Series]:
    """The first sources; the report's table has all."""
    names = list(dict.fromkeys(name for point in curves for name in point.sources))
    short = [file_name(name) for name in names]
    titles = short if len(set(short)) == len(names) else names
    return [
        Series(titles[number], f"metric-{number}", [(p.step, p.sources[name]) for p in curves if name in p.sources])
        for number, name in enumerate(names[:MOST_METRICS])
    ]


def _figure(name: str, curves: Sequence[CurvePoint]) -> list[Series]:
    """A training metric and, where available, the same metric on the validation rows."""
    training = Series("training", "train", [(p.step, p.figures[name]) for p in curves if name in p.figures], noisy=True)
    return [training, _validation(name, "validation", "validation", curves)] if training.known else []


def _validation(metric: str, name: str, style: str, curves: Sequence[CurvePoint]) -> Series:
    """Validation series, joined across steps without an evaluation."""
    return Series(name, style, [(p.step, p.validation[metric]) for p in curves if metric in p.validation])
