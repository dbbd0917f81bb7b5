"""Metrics by group as a table: the weakest first, small groups last."""

from dataclasses import dataclass, field

from finetune_api.details import GroupRow
from finetune_api.metrics import GAP, RETENTION, Direction, find_metric
from finetune_api.report import Report
from finetune_trainer.reporting.headline import Comparison, compare_metrics, task_of, wilson_interval
from finetune_trainer.reporting.numbers import percent

_ACCURACY = "accuracy"


@dataclass(frozen=True)
class GroupTable:
    """Columns and rows of the table."""

    rows: list[GroupRow] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    """Metrics, in the order of columns."""
    sorted_by: str = ""
    few: int = 0
    """Groups of too few rows."""
    intervals: dict[str, str] = field(default_factory=dict)
    """By group, between which values its accuracy lies."""


def group_table(report: Report) -> GroupTable:
    """The table of a run; empty without groups."""
    found = report.details.groups if report.details else []
    names = list(dict.fromkeys(name for group in found for name in group.metrics))
    if not names:
        return GroupTable()
    metric = find_metric(task_of(report), names[0])
    sign = -1 if metric is not None and metric.direction is Direction.LOWER else 1
    rows = sorted(found, key=lambda group: (group.few, sign * group.metrics.get(names[0], 0)))
    intervals = {group.group: _interval(group) for group in rows if _ACCURACY in group.metrics}
    return GroupTable(rows, names, names[0], sum(group.few for group in rows), intervals)


def _interval(group: GroupRow) -> str:
    low, high = wilson_interval(group.metrics[_ACCURACY], group.rows)
    return f"accuracy {percent(low)} to {percent(high)}"


def split_comparisons(report: Report) -> dict[str, list[Comparison]]:
    """Metrics in three parts: of the task (`comparisons`), the retention set (`retained`), group gaps (`gaps`)."""
    found = compare_metrics(report)
    retained = [one for one in found if one.metric.name.startswith(RETENTION)]
    gaps = [one for one in found if one.metric.name.startswith(GAP)]
    own = [one for one in found if one not in retained and one not in gaps]
    return {"comparisons": own, "retained": retained, "gaps": gaps}
