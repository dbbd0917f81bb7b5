"""Gates: limits on metrics of the tuned model that decide the outcome."""

from collections.abc import Mapping, Sequence

from finetune_api.evaluation import Gate
from finetune_api.metrics import find_metric
from finetune_api.outcome import GateResult
from finetune_api.tasks import Task

ROUNDING = 1e-9
"""Slack on every limit: 0.9 - 0.8 is below 0.1 in binary."""


def check_gates(
    gates: Sequence[Gate],
    metrics: Mapping[str, float],
    baseline: Mapping[str, float],
    task: Task = Task.SEQUENCE_CLASSIFICATION,
    trivial: Mapping[str, float] | None = None,
) -> list[GateResult]:
    """Check each gate; it fails where its metric, or the baseline that it needs, is missing.

    `minImprovement` is over the base model or over `trivial`, the metrics of the best constant answer, whichever is
    better: a classifier's base model has a new head, which any model beats.
    """
    return [
        _check(gate, metrics.get(gate.metric), _reference(gate, baseline, trivial or {}, task), task) for gate in gates
    ]


def _reference(gate: Gate, baseline: Mapping[str, float], trivial: Mapping[str, float], task: Task) -> float | None:
    base, constant, metric = baseline.get(gate.metric), trivial.get(gate.metric), find_metric(task, gate.metric)
    if base is None or constant is None or metric is None or gate.min_improvement is None:
        return base
    return constant if metric.better(constant, base) > 0 else base


def _check(gate: Gate, value: float | None, baseline: float | None, task: Task) -> GateResult:
    return GateResult(
        metric=gate.metric,
        value=value,
        baseline=baseline,
        limit=limit_in_words(gate),
        passed=value is not None and _within(gate, value) and _against_baseline(gate, value, baseline, task),
    )


def _within(gate: Gate, value: float) -> bool:
    above = gate.min is None or value >= gate.min - ROUNDING
    return above and (gate.max is None or value <= gate.max + ROUNDING)


def _against_baseline(gate: Gate, value: float, baseline: float | None, task: Task) -> bool:
    if gate.max_regression is None and gate.min_improvement is None:
        return True
    metric = find_metric(task, gate.metric)
    if baseline is None or metric is None:
        return False
    gain = metric.better(value, baseline) + ROUNDING
    not_worse = gate.max_regression is None or gain >= -gate.max_regression
    return not_worse and (gate.min_improvement is None or gain >= gate.min_improvement)


def limit_in_words(gate: Gate) -> str:
    """The limits of a gate as text: `min 0.8, max regression 0.1`."""
    limits = {
        "min": gate.min,
        "max": gate.max,
        "max regression": gate.max_regression,
        "min improvement": gate.min_improvement,
    }
    return ", ".join(f"{words} {limit:.6g}" for words, limit in limits.items() if limit is not None)
