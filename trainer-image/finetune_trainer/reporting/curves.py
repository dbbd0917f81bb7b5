"""The learning curves of a run as charts: losses, metrics, learning rate and gradient norm."""

from collections.abc import Sequence

from finetune_api.metrics import CATALOGUE
from finetune_api.report import CurvePoint, Report
from finetune_api.tasks import Task
from finetune_trainer.reporting.charts import LineChart, Marker, Series
from finetune_trainer.reporting.headline import METRIC_TITLES
from finetune_trainer.reporting.scales import Point

METRICS_DRAWN = ("accuracy", "f1Macro", "f1Micro", "averagePrecision", "r2", "pearson", "spearman")
MOST_METRICS, SMALL = 3, 170


def draw_curves(report: Report) -> list[LineChart]:
    """Charts that have at least one value, large ones first; none for a run that ended before its first step."""
    curves = sorted(report.curves, key=lambda point: point.step)
    if not curves or curves[-1].step == 0:
        return []
    notes = {float(point.step): f"epoch {point.epoch:.3g}" for point in curves}
    best = report.evaluation.best
    marker = Marker(best.step, f"kept: step {best.step}") if best else None
    metrics = _metrics(curves, best.metric if best else "")
    rate = _series("learning rate", "rate", curves, "learning_rate")
    norm = _series("gradient norm", "norm", curves, "gradient_norm")
    charts = [
        LineChart("Loss", _losses(curves), marker=marker, notes=notes),
        LineChart("Metrics on validation rows", metrics, marker=marker, notes=notes),
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
    """Drop a missing value at a step that has another point with one: evaluations may come as points of their own."""
    valued = {step for step, value in points if value is not None}
    return [(step, value) for step, value in points if value is not None or step not in valued]


def _losses(curves: Sequence[CurvePoint]) -> list[Series]:
    return [_series("training", "train", curves, "loss"), _validation("evalLoss", "validation", "validation", curves)]


def _metrics(curves: Sequence[CurvePoint], chosen: str) -> list[Series]:
    """The metric that decides, then the usual ones. Only those between -1 and 1: they share an axis."""
    known = {name for point in curves for name in point.validation}
    bounded = {m.name for m in CATALOGUE[Task.SEQUENCE_CLASSIFICATION].values() if m.low >= -1 and m.high <= 1}
    wanted = [
        n
        for n in dict.fromkeys((chosen, *METRICS_DRAWN))
        if n in known and (n in bounded | set(METRICS_DRAWN) or "." in n)
    ]
    return [
        _validation(name, METRIC_TITLES.get(name, name), f"metric-{number}", curves)
        for number, name in enumerate(wanted[:MOST_METRICS])
    ]


def _validation(metric: str, name: str, style: str, curves: Sequence[CurvePoint]) -> Series:
    """Joined across steps without an evaluation; those are no gaps."""
    return Series(name, style, [(p.step, p.validation[metric]) for p in curves if metric in p.validation])
