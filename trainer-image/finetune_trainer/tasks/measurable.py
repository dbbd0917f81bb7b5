"""Check before training that rows can provide the metrics that a job names."""

from collections import Counter
from collections.abc import Iterator

import numpy as np

from finetune_api import tasks
from finetune_api.failures import Problem, SpecInvalid
from finetune_api.metrics import GAP, PER_CLASS, RETENTION, WRITTEN
from finetune_api.tasks import MethodType, ProblemType
from finetune_trainer.data.reading.rows import shown
from finetune_trainer.data.splits import RETENTION_SPLIT, TEST, TRAIN, VALIDATION
from finetune_trainer.tasks.causal_lm import CausalLM
from finetune_trainer.tasks.groups import ENOUGH, measure_groups
from finetune_trainer.tasks.policy_optimization import PolicyOptimization
from finetune_trainer.tasks.rebind_task import gate_metrics, rebind_task
from finetune_trainer.tasks.sequence_classification import LOGITS, SequenceClassification
from finetune_trainer.tasks.task import Task
from finetune_trainer.tasks.token_classification import TokenClassification
from finetune_trainer.training.inference import Outputs
from finetune_trainer.training.losses.tags import COUNTED, LOSS, TAGS

_NAMED = 5
_OTHER_GATE = "give rows that have it, or remove the gate"


def check_measurable(task: Task) -> None:
    """Check that the rows can provide the metrics of all gates, and the one that chooses the best state.

    Raises `SpecInvalid` that names gate, class and split.
    """
    problems = [*_gates(task), *_metric(task)]
    if problems:
        raise SpecInvalid(*problems)


def _gates(task: Task) -> Iterator[Problem]:
    split = next(name for name in (TEST, VALIDATION, TRAIN) if name in task.data.splits)
    for index, gate in enumerate(task.spec.evaluation.gates):
        why = why_not(task, split, gate.metric)
        if why:
            where = f"spec.evaluation.gates[{index}].metric"
            hint = (
                _OTHER_GATE if gate.metric.startswith(RETENTION) else f"{_more_rows(task, split)}, or remove the gate"
            )
            yield Problem(f"{gate.metric} can't be measured: {why}", where, hint)


def _metric(task: Task) -> Iterator[Problem]:
    name = task.spec.evaluation.metric
    if VALIDATION not in task.data.splits or task.spec.method.type is MethodType.MERGE:
        return
    why = why_not(task, VALIDATION, name)
    if why:
        elsewhere_fine = TEST in task.data.splits and not why_not(task, TEST, name)
        also = "; on the test rows it can, but the best state is chosen on validation rows" if elsewhere_fine else ""
        hint = f"{_more_rows(task, VALIDATION)}, or use another metric"
        yield Problem(f"{name} can't be measured: {why}{also}", "spec.evaluation.metric", hint)


def _more_rows(task: Task, split: str) -> str:
    given = getattr(task.spec.data, split)
    return f"add such rows to data.{split}" if given else f"use a larger data.split.{split}"


def why_not(task: Task, split: str, name: str) -> str:
    """Reason that a metric is undefined on the rows of a split; empty where it is defined."""
    if name.startswith(RETENTION):
        return _why_not_retained(task, name.removeprefix(RETENTION))
    if isinstance(task, CausalLM):
        return _why_not_language(name.removeprefix(GAP), raw=not task.answers) or _why_no_gap(task, split, name)
    if isinstance(task, PolicyOptimization) and name.removeprefix(GAP) == "exactMatch" and not task.has_answers:
        return "some rows have no expected answer"
    outputs = ideal_outputs(task, split)
    if outputs is None:
        return _why_no_gap(task, split, name)
    if name.startswith(GAP):
        found = measure_groups(task, split, outputs, None).gaps
        return "" if name in found else _why_no_gap(task, split, name) or _in_too_few_groups(name)
    return "" if name in task.measure(split, outputs) else _missing(task, split, name)


def ideal_outputs(task: Task, split: str) -> Outputs | None:
    """Outputs of a perfect model; None for tasks whose metrics are defined on any rows.

    What is not defined even on these has no value for any model.
    """
    if isinstance(task, SequenceClassification):
        targets = task.targets(split)
        if task.problem is ProblemType.REGRESSION:
            return {LOGITS: np.asarray(targets, np.float64)}
        if task.problem is ProblemType.MULTI_LABEL:
            return {LOGITS: 10.0 * (2.0 * np.asarray(targets, np.float64) - 1.0)}
        return {LOGITS: 10.0 * np.eye(len(task.data.labels.names))[np.asarray(targets, np.int64)]}
    if isinstance(task, TokenClassification):
        number = {name: at for at, name in enumerate(task.data.labels.names)}
        rows = [[number[tag] for tag in label] for label in task.data.splits[split].labels if isinstance(label, tuple)]
        tags = np.full((len(rows), max(map(len, rows), default=0)), -1, np.int32)
        for at, row in enumerate(rows):
            tags[at, : len(row)] = row
        zeros = np.zeros(len(rows), np.float32)
        return {TAGS: tags, LOSS: zeros, COUNTED: np.asarray([len(row) for row in rows], np.int64)}
    return None


def _why_not_retained(task: Task, name: str) -> str:
    old, wanted = task.data.retention, task.spec.evaluation.retention.task or task.spec.task
    if old is None:
        return "there is no retention set"
    if wanted is tasks.Task.CAUSAL_LM:
        return _why_not_language(name, raw="text" in old.report.columns)
    if wanted is task.spec.task and isinstance(task, SequenceClassification | TokenClassification):
        return why_not(rebind_task(task, old, gate_metrics(task.spec, RETENTION)), RETENTION_SPLIT, name)
    return ""


def _why_not_language(name: str, *, raw: bool) -> str:
    if raw and name in WRITTEN:
        return "raw text has no expected answers to compare with"
    return "it is of raw text, and the rows are prompts with answers" if not raw and name == "bitsPerByte" else ""


def _why_no_gap(task: Task, split: str, name: str) -> str:
    if not name.startswith(GAP):
        return ""
    sizes = Counter(group.strip() for group in task.data.splits[split].groups or [])
    large = [group for group, count in sizes.items() if count >= ENOUGH]
    if len(large) > 1:
        return ""
    found = ", ".join(f"{shown(group)} ({count:,})" for group, count in sizes.most_common(_NAMED))
    return f"it takes two groups of {ENOUGH} {split} rows or more, and there are {found or 'none'}"


def _in_too_few_groups(name: str) -> str:
    return f"fewer than two groups of {ENOUGH} rows or more have {name.removeprefix(GAP)}"


def _missing(task: Task, split: str, name: str) -> str:
    """Message on the class or entity type that no row of the split has."""
    rows = "examples of the retention set" if split == RETENTION_SPLIT else f"{split} rows"
    part, _, kind = name.partition(".")
    if isinstance(task, TokenClassification):
        return f"there is no entity {f'of the type {shown(kind)} ' if kind else ''}in the {rows}"
    if task.data.labels.problem_type is ProblemType.REGRESSION:
        return f"the numbers to predict are all the same in the {rows}"
    if kind and part in PER_CLASS:
        return f"none of the {rows} has the label {shown(kind)}"
    labels = [label for row in task.data.splits[split].labels for label in (row if isinstance(row, tuple) else [row])]
    counts = Counter(str(label) for label in labels)
    absent = [label for label in task.data.labels.names if not counts[label]]
    if absent:
        more = f" and {len(absent) - _NAMED} more" if len(absent) > _NAMED else ""
        return f"none of the {rows} has the label {', '.join(map(shown, absent[:_NAMED]))}{more}"
    everywhere = [label for label, count in counts.items() if count == len(task.data.splits[split])]
    return f"all {rows} have the label {', '.join(map(shown, everywhere[:_NAMED]))}"
