"""The page of metrics."""

from collections.abc import Iterable

from finetune_api.metrics import CATALOGUE, DECIDED, RANKED, Metric
from finetune_api.reference.markdown import table

_INTRODUCTION = """\
# Metrics

Names for `spec.evaluation.metric` and `spec.evaluation.gates[].metric`.

"""


def metrics_page() -> str:
    """The metrics of each task that is built, as Markdown."""
    header = ["Metric", "Better", "Range", "For", "Meaning"]
    parts = [f"## {task}\n\n" + table(header, map(_row, metrics.values())) for task, metrics in CATALOGUE.items()]
    of_one = f"\nOf one class, by its label: {_named(DECIDED)}; in SequenceClassification also {_named(RANKED)}.\n"
    return _INTRODUCTION + "\n".join(parts) + of_one


def _named(heads: Iterable[str]) -> str:
    return ", ".join(f"`{head}.<label>`" for head in heads)


def _row(metric: Metric) -> list[str]:
    span = f"{_end(metric.low)} to {_end(metric.high)}"
    problems = ", ".join(sorted(metric.problems))
    return [f"`{metric.name}`", str(metric.direction).lower(), span, problems, metric.meaning]


def _end(value: float) -> str:
    return f"{value:g}".replace("inf", "∞")
