"""Limitations section of the model card, from data report and metrics."""

from collections.abc import Iterator

from finetune_api.curves import Fit
from finetune_api.data_report import DataReport
from finetune_api.report import Report
from finetune_trainer.reporting.headline import evaluated_rows, wilson_interval
from finetune_trainer.reporting.numbers import count, figure, percent

_BAD_NEWS = ("The tuned model is worse", "The tuned model is no better", "The tuned model has one answer")
"""How remarks begin that tell of a model that has learned nothing, see `evaluation.worth`."""
FEW_ROWS, WEAK_F1, IMBALANCED, UNCALIBRATED, MOST_NAMED = 200, 0.5, 5.0, 0.1, 5


def find_limitations(report: Report) -> list[str]:
    """Sentences, gravest first. The last one holds for every model."""
    return [*_of_evaluation(report), *_of_classes(report), *(_of_data(report.data) if report.data else ()), _LANGUAGES]


_LANGUAGES = (
    "It knows the language, the subject and the style of its training rows, whose languages were not examined. "
    "Texts of another kind get an answer all the same, and often a confident one."
)


def _of_evaluation(report: Report) -> Iterator[str]:
    rows, accuracy = evaluated_rows(report), report.evaluation.metrics.get("accuracy")
    if report.evaluated_on != "test":
        yield f"There were no test rows: the metrics are from the {report.evaluated_on} rows and flatter the model."
    if accuracy is not None and 0 < rows < FEW_ROWS:
        low, high = wilson_interval(accuracy, rows)
        yield f"It was measured on {rows} rows only: its accuracy is between {percent(low)} and {percent(high)}."
    if report.evaluation.metrics.get("calibrationError", 0) > UNCALIBRATED:
        error = figure(report.evaluation.metrics["calibrationError"])
        yield f"Its confidence is off by {error} on average: don't read the scores as probabilities."
    if report.verdict and report.verdict.fit in {Fit.OVERFITTING, Fit.UNDERFITTING}:
        yield f"{report.verdict.fit.value}: {report.verdict.reason}"
    remark = f"{report.evaluation.remark[:1].upper()}{report.evaluation.remark[1:]}."
    if remark.startswith(_BAD_NEWS) and not (report.verdict and report.verdict.reason == remark):
        yield remark
    missed = [gate.metric for gate in report.evaluation.gates if not gate.passed]
    if missed:
        yield f"It missed what its job asked for: {', '.join(missed)}."


def _of_classes(report: Report) -> Iterator[str]:
    rows = report.details.classes if report.details else []
    weak = sorted((row for row in rows if row.support and row.f1 < WEAK_F1), key=lambda row: row.f1)
    unseen = [row.label for row in rows if not row.support]
    if weak:
        named = ", ".join(f"{row.label} ({figure(row.f1)})" for row in weak[:MOST_NAMED])
        more = f" and {len(weak) - MOST_NAMED} more" if len(weak) > MOST_NAMED else ""
        yield f"It is weak (F1 below {WEAK_F1}) on {named}{more}."
    if unseen:
        more = f" and {len(unseen) - MOST_NAMED} more" if len(unseen) > MOST_NAMED else ""
        yield f"Nothing was measured for {', '.join(unseen[:MOST_NAMED])}{more}: no such rows were held out."


def _of_data(data: DataReport) -> Iterator[str]:
    if data.leaks:
        yield f"{count(data.leaks)} held-out rows are nearly the same as training rows: the metrics are too optimistic."
    if data.imbalance is not None and data.imbalance >= IMBALANCED:
        yield f"The training rows are uneven: {data.imbalance:.3g} of the most frequent label for each of the rarest."
    if data.conflicting_labels and data.problem_type:
        yield f"Some texts occur with different labels, which nothing can learn: {count(data.conflicting_labels)}."
    cut = [split.lengths for split in data.splits.values() if split.lengths and split.lengths.truncated]
    if cut:
        rows = sum(lengths.truncated for lengths in cut)
        yield f"It reads {count(cut[0].limit)} tokens of a text at most; {count(rows)} rows of the data were longer."
