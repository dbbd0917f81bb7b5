"""Leading metrics: fine-tuned against base model, with change and direction."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from finetune_api.metrics import Metric, find_metric
from finetune_api.report import Report
from finetune_api.tasks import ProblemType, Task
from finetune_trainer.reporting.numbers import figure, percent

METRIC_TITLES = {
    "evalLoss": "Loss",
    "accuracy": "Accuracy",
    "balancedAccuracy": "Balanced accuracy",
    "f1Macro": "F1, macro",
    "f1Micro": "F1, micro",
    "f1Weighted": "F1, weighted",
    "precisionMacro": "Precision, macro",
    "recallMacro": "Recall, macro",
    "matthews": "Matthews correlation",
    "rocAuc": "ROC AUC",
    "averagePrecision": "Average precision",
    "brier": "Brier score",
    "calibrationError": "Calibration error",
    "hammingLoss": "Hamming loss",
    "meanSquaredError": "Mean squared error",
    "rootMeanSquaredError": "Root mean squared error",
    "meanAbsoluteError": "Mean absolute error",
    "r2": "Variance explained, R²",
    "pearson": "Pearson correlation",
    "spearman": "Spearman correlation",
    "perplexity": "Perplexity",
    "tokenAccuracy": "Token accuracy",
    "bitsPerByte": "Bits per byte",
    "exactMatch": "Exact match",
    "f1": "F1",
    "precision": "Precision",
    "recall": "Recall",
    "rouge1": "ROUGE-1",
    "rougeL": "ROUGE-L",
    "chrF": "chrF",
    "rewardAccuracy": "Reward accuracy",
    "rewardMargin": "Reward margin",
    "likelihoodAccuracy": "Likelihood accuracy",
    "margin": "Margin",
    "meanReward": "Mean reward",
    "kl": "KL divergence",
}
LEADING = {
    ProblemType.SINGLE_LABEL: ("accuracy", "f1Macro", "evalLoss", "calibrationError"),
    ProblemType.MULTI_LABEL: ("f1Micro", "f1Macro", "averagePrecision", "evalLoss"),
    ProblemType.REGRESSION: ("rootMeanSquaredError", "meanAbsoluteError", "pearson", "r2"),
}
WITH_NEW_HEAD = frozenset({Task.SEQUENCE_CLASSIFICATION, Task.TOKEN_CLASSIFICATION, Task.REWARD_MODEL})
"""Tasks whose models get a head that the base does not have."""
LEADING_OF_TASK = {
    Task.TOKEN_CLASSIFICATION: ("f1", "precision", "recall", "evalLoss"),
    Task.SEQ2SEQ: ("rougeL", "chrF", "exactMatch", "evalLoss"),
    Task.CAUSAL_LM: ("perplexity", "bitsPerByte", "exactMatch", "rougeL", "tokenAccuracy", "evalLoss"),
    Task.MASKED_LM: ("perplexity", "tokenAccuracy", "evalLoss"),
    Task.PREFERENCE: ("rewardAccuracy", "likelihoodAccuracy", "perplexity", "evalLoss"),
    Task.REWARD_MODEL: ("accuracy", "margin", "evalLoss"),
    Task.POLICY_OPTIMIZATION: ("meanReward", "kl", "exactMatch", "evalLoss"),
}
"""Those of the tasks that have no kinds of problems."""
_LEADING_OF_ANSWERS = ("f1", "exactMatch", "rougeL", "evalLoss")
_IN_A_SENTENCE = {
    "f1Micro": "a micro F1",
    "rootMeanSquaredError": "a root mean squared error",
    "f1": "an F1",
    "rougeL": "a ROUGE-L",
    "perplexity": "a perplexity",
    "rewardAccuracy": "a reward accuracy",
    "meanReward": "a mean reward",
}


@dataclass(frozen=True)
class Comparison:
    """One metric of both models. `gain` is positive where the tuned model is better, in either direction."""

    metric: Metric
    tuned: float
    baseline: float | None
    note: str = ""
    few_shot: float | None = None
    """The base model with examples in the prompt."""

    @property
    def title(self) -> str:
        """Display name."""
        return METRIC_TITLES.get(self.metric.name, self.metric.name)

    @property
    def change(self) -> float | None:
        """Tuned minus baseline."""
        return None if self.baseline is None else self.tuned - self.baseline

    @property
    def verdict(self) -> str:
        """`better`, `worse` or `same`, at the precision shown; `unknown` without a baseline."""
        if self.baseline is None:
            return "unknown"
        if figure(self.tuned) == figure(self.baseline):
            return "same"
        return "better" if self.metric.better(self.tuned, self.baseline) > 0 else "worse"

    def bar(self, value: float | None) -> float:
        """Length of a bar in percent: of the metric's range, else of the larger of two values, else 0."""
        if value is None or (self.baseline is None and self.metric.high > 1):
            return 0.0
        top = self.metric.high if 0 < self.metric.high <= 1 else max(self.tuned, self.baseline or 0.0)
        return max(0.0, min(100.0, 100 * value / top)) if top > 0 else 0.0


def task_of(report: Report) -> Task:
    """The task of the run; classification where a failed run's spec names none."""
    name = report.spec.get("task")
    return Task(name) if name in set(Task) else Task.SEQUENCE_CLASSIFICATION


def leading_names(report: Report) -> tuple[str, ...]:
    """Names of the leading metrics of the run's task, the most important first."""
    columns = (report.spec.get("data") or {}).get("columns") or {}
    if task_of(report) is Task.SEQ2SEQ and (columns.get("question") or columns.get("context")):
        return _LEADING_OF_ANSWERS
    return LEADING_OF_TASK.get(task_of(report)) or LEADING[problem_of(report)]


def problem_of(report: Report) -> ProblemType:
    """Problem type, from the data or else from the metrics; `AUTO` for tasks without one."""
    if task_of(report) is not Task.SEQUENCE_CLASSIFICATION:
        return ProblemType.AUTO
    if report.data and report.data.problem_type:
        return ProblemType(report.data.problem_type)
    metrics = report.evaluation.metrics
    if "hammingLoss" in metrics:
        return ProblemType.MULTI_LABEL
    return ProblemType.REGRESSION if "meanSquaredError" in metrics else ProblemType.SINGLE_LABEL


def compare_metrics(report: Report) -> list[Comparison]:
    """All metrics on the test rows, in the order they were computed."""
    evaluation = report.evaluation
    found = [(find_metric(task_of(report), name), value) for name, value in evaluation.metrics.items()]
    return [
        Comparison(
            metric,
            value,
            evaluation.baseline.get(metric.name),
            _interval(metric.name, value, evaluated_rows(report)),
            evaluation.few_shot.get(metric.name),
        )
        for metric, value in found
        if metric is not None
    ]


def leading_metrics(report: Report) -> list[Comparison]:
    """Up to four leading metrics; the one that chose the best state comes first where it is not among them."""
    by_name = {comparison.metric.name: comparison for comparison in compare_metrics(report)}
    chosen = report.evaluation.best.metric if report.evaluation.best else ""
    usual = leading_names(report)
    order: Sequence[str] = usual if chosen in usual else (chosen, *usual)
    return [by_name[name] for name in order if name in by_name][:4]


def evaluated_rows(report: Report) -> int:
    """Number of rows behind the metrics; 0 where unknown."""
    split = report.data.splits.get(report.evaluated_on) if report.data else None
    return split.rows if split else 0


def _interval(name: str, share: float, rows: int) -> str:
    if name != "accuracy" or not rows:
        return ""
    low, high = wilson_interval(share, rows)
    return f"95% interval {percent(low)} to {percent(high)}"


def wilson_interval(share: float, rows: int, z: float = 1.96) -> tuple[float, float]:
    """Interval for a share of `rows` independent rows (Wilson 1927, doi:10.1080/01621459.1927.10502953)."""
    middle = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z / (1 + z * z / rows) * sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows))
    return max(0.0, middle - half), min(1.0, middle + half)


def summarise(report: Report) -> str:
    """One sentence with the most important metric; empty without an evaluation."""
    rows = evaluated_rows(report)
    on = f" on {rows:,} {report.evaluated_on} rows" if rows else ""
    metrics, baseline = report.evaluation.metrics, report.evaluation.baseline
    kind = "merged" if report.merge else "tuned"
    name = leading_names(report)[0]
    if name not in metrics:
        return ""
    if name == "accuracy":
        before = f", the base model {percent(baseline[name])}" if name in baseline else ""
        return f"The {kind} model gets {percent(metrics[name])} right{on}{before}."
    before = f", the base model {figure(baseline[name])}" if name in baseline else ""
    return f"The {kind} model reaches {_IN_A_SENTENCE[name]} of {figure(metrics[name])}{on}{before}."
