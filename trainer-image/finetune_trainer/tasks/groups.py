"""Metrics per group of rows, and disparities between groups."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from finetune_api import tasks
from finetune_api.details import GroupRow
from finetune_api.metrics import GAP
from finetune_api.tasks import ProblemType
from finetune_trainer.tasks.rebind_task import gate_metrics, rebind_task
from finetune_trainer.tasks.task import Task
from finetune_trainer.training.inference import Outputs

ENOUGH = 30
"""Rows of a group below which its figures are no verdict."""
_SHOWN = 100
_FEW_CLASSES = 4
_NO_GROUP = "(none)"
_LEADING = {
    ProblemType.SINGLE_LABEL: ("accuracy", "f1Macro"),
    ProblemType.MULTI_LABEL: ("accuracy", "f1Micro"),
    ProblemType.REGRESSION: ("meanAbsoluteError", "rootMeanSquaredError"),
}
_LEADING_OF_TASK = {
    tasks.Task.TOKEN_CLASSIFICATION: ("f1", "accuracy"),
    tasks.Task.SEQ2SEQ: ("rougeL", "exactMatch"),
    tasks.Task.CAUSAL_LM: ("rougeL", "exactMatch", "evalLoss"),
    tasks.Task.PREFERENCE: ("rewardAccuracy", "rewardMargin"),
    tasks.Task.REWARD_MODEL: ("accuracy", "margin"),
    tasks.Task.POLICY_OPTIMIZATION: ("meanReward", "exactMatch", "kl"),
}


@dataclass(frozen=True)
class Grouped:
    """Metrics by group, and disparities as `gap.<metric>`."""

    rows: list[GroupRow] = field(default_factory=list)
    gaps: dict[str, float] = field(default_factory=dict)
    gaps_before: dict[str, float] = field(default_factory=dict)
    """The same of the base model."""
    more: int = 0
    """Groups that are not in `rows`."""


def measure_groups(task: Task, split: str, outputs: Outputs, baseline: Outputs | None) -> Grouped:
    """Measure each group of a split; empty for rows without groups."""
    groups = task.data.splits[split].groups
    if groups is None:
        return Grouped()
    found = list(_rows(task, split, groups, (outputs, baseline)))
    leading = [*_leading(task), *gate_metrics(task.spec, GAP)]
    return Grouped(
        rows=found[:_SHOWN],
        gaps=gaps([row.metrics for row in found if not row.few], leading),
        gaps_before=gaps([row.baseline for row in found if not row.few], leading),
        more=max(0, len(set(groups)) - _SHOWN),
    )


def gaps(groups: Sequence[Mapping[str, float]], names: Sequence[str]) -> dict[str, float]:
    """Highest minus lowest value of each metric over groups, as `gap.<name>`; needs two groups."""
    values = {name: [group[name] for group in groups if name in group] for name in dict.fromkeys(names)}
    return {f"{GAP}{name}": max(found) - min(found) for name, found in values.items() if len(found) > 1}


def _rows(task: Task, split: str, groups: Sequence[str], models: tuple[Outputs, Outputs | None]) -> Iterator[GroupRow]:
    """Row indices by group, the largest first; small groups beyond the limit are left out."""
    names, members = np.unique(np.asarray([group.strip() for group in groups]), return_inverse=True)
    sizes = np.bincount(members)
    for place, number in enumerate(np.argsort(-sizes, kind="stable").tolist()):
        few = bool(sizes[number] < ENOUGH)
        if few and place >= _SHOWN:
            return
        after, before = (_measured(task, split, np.flatnonzero(members == number), outputs) for outputs in models)
        name = str(names[number]) or _NO_GROUP
        yield GroupRow(group=name, rows=int(sizes[number]), few=few, metrics=after, baseline=before)


def _measured(task: Task, split: str, rows: NDArray[np.int64], outputs: Outputs | None) -> dict[str, float]:
    if outputs is None:
        return {}
    classes = task.data.labels.names
    by_class = [f"recall.{name}" for name in classes] if _is_single_label(task, len(classes)) else []
    wanted = [*_leading(task), *by_class, *gate_metrics(task.spec, GAP)]
    part = rebind_task(task, task.data.part(split, rows.tolist()), wanted)
    metrics = part.measure(split, {name: values[rows] for name, values in outputs.items()})
    return {name: metrics[name] for name in dict.fromkeys(wanted) if name in metrics}


def _is_single_label(task: Task, classes: int) -> bool:
    return task.data.labels.problem_type is ProblemType.SINGLE_LABEL and classes <= _FEW_CLASSES


def _leading(task: Task) -> tuple[str, ...]:
    usual = _LEADING.get(task.data.labels.problem_type, ())
    return _LEADING_OF_TASK.get(task.spec.task, usual)
