"""Checks of additional evaluation: retention sets, groups of rows, few-shot examples."""

from collections.abc import Iterator

from finetune_api.data import Columns
from finetune_api.evaluation import Retention
from finetune_api.failures import Problem
from finetune_api.method import Solver
from finetune_api.metrics import GAP, RETENTION
from finetune_api.resolved import stepwise_fields
from finetune_api.spec import Spec
from finetune_api.tasks import VIRTUAL_TOKENS, MethodType, Task

_CLASSIFIERS = frozenset({Task.SEQUENCE_CLASSIFICATION, Task.TOKEN_CLASSIFICATION})
_BASE_UNCHANGED = VIRTUAL_TOKENS | {MethodType.FEATURE_EXTRACTION}
_WITHOUT_GROUPS = frozenset({Task.MASKED_LM})
_SKILLS: dict[Task, tuple[Task, ...]] = {
    **dict.fromkeys(_CLASSIFIERS, (Task.CAUSAL_LM, Task.MASKED_LM)),
    Task.PREFERENCE: (Task.CAUSAL_LM,),
    Task.POLICY_OPTIMIZATION: (Task.CAUSAL_LM,),
}
"""What models can be asked for beside their own task."""
_SHOWN_EXAMPLES = frozenset({Task.SEQ2SEQ, Task.CAUSAL_LM})
_PATH = "spec.evaluation.retention"


def extra_problems(spec: Spec) -> Iterator[Problem]:
    """Yield problems of retention sets that this job can't evaluate, and of invalid groups or examples."""
    yield from _retention(spec)
    yield from _groups(spec)
    yield from split_problems(spec)
    yield from _solver(spec)
    if spec.evaluation.few_shot.examples and spec.task not in _SHOWN_EXAMPLES:
        message = f"{spec.task} writes no answers, so there are none to show as examples"
        yield Problem(message, "spec.evaluation.fewShot.examples", "remove it")
    elif spec.evaluation.few_shot.examples and spec.method.type is MethodType.MERGE:
        message = "Merge trains on no rows, so there are none to show as examples"
        yield Problem(message, "spec.evaluation.fewShot.examples", "remove it")


def split_problems(spec: Spec) -> Iterator[Problem]:
    """Yield a problem for a group column that no split uses."""
    split, data = spec.data.split, spec.data
    is_split = (split.validation and not data.validation) or (split.test and not data.test)
    if split.group_column and not (is_split and data.train):
        message = f"nothing is split from the training rows, so rows of one {split.group_column!r} can't be parted"
        yield Problem(message, "spec.data.split.groupColumn", "remove it, or remove data.validation or data.test")


def _solver(spec: Spec) -> Iterator[Problem]:
    """Yield a problem for each gradient training setting of a job whose head is solved by L-BFGS."""
    head = spec.method.feature_extraction
    if head is not None and head.solver is Solver.LBFGS:
        for field in stepwise_fields(spec):
            yield Problem(
                "LBFGS solves the head and takes no steps", f"spec.{field}", "remove it, or set solver: AdamW"
            )


def plain_metric(spec: Spec, name: str) -> tuple[Task, str]:
    """Task and plain name of metric `name`: without `retention.` or `gap.`."""
    if name.startswith(RETENTION):
        return spec.evaluation.retention.task or spec.task, name.removeprefix(RETENTION)
    return spec.task, name.removeprefix(GAP)


def why_not_measured(spec: Spec, name: str, path: str) -> Problem | None:
    """Reason that a metric of retention or groups is undefined; None for defined and for all other ones."""
    if not name.startswith((RETENTION, GAP)):
        return None
    rest = name.partition(".")[2]
    if rest.startswith((RETENTION, GAP)):
        return Problem(f"there is no metric {name!r}", path, f"did you mean {rest}?")
    if path == "spec.evaluation.metric":
        message = f"{name} is measured before and after training only, so it can't choose the best state"
        return Problem(message, path, "use a metric of the task, and name this one in evaluation.gates")
    if name.startswith(RETENTION) and not spec.evaluation.retention.data:
        hint = "name a retention set in evaluation.retention.data"
        return Problem(f"{name} is measured on a retention set, and there is none", path, hint)
    if name.startswith(GAP) and not group_column(spec):
        return Problem(f"{name} is measured between groups of rows", path, "name their column: evaluation.groupColumn")
    return None


def group_column(spec: Spec) -> str:
    """The group column; empty for none."""
    return spec.evaluation.group_column or spec.data.columns.group


def _retention(spec: Spec) -> Iterator[Problem]:
    retention = spec.evaluation.retention
    if not retention.data and retention != Retention():
        hint = "name the rows in evaluation.retention.data, or remove the block"
        yield Problem("there is no retention set", _PATH, hint)
    if not retention.data or retention.task in (None, spec.task):
        return
    others = _SKILLS.get(spec.task, ())
    if retention.task not in others:
        message = f"a model of {spec.task} can't be asked for {retention.task}: it has no head for it"
        yield Problem(message, f"{_PATH}.task", f"skills that can be measured: {', '.join([spec.task, *others])}")
    elif spec.task in _CLASSIFIERS and spec.method.type in _BASE_UNCHANGED:
        message = f"{spec.method.type} leaves the base as it is, so it forgets nothing of {retention.task}"
        yield Problem(message, f"{_PATH}.task", "remove it: before and after are the same")


def _groups(spec: Spec) -> Iterator[Problem]:
    both = {spec.evaluation.group_column, spec.data.columns.group} - {""}
    path = "spec.evaluation.groupColumn" if spec.evaluation.group_column else "spec.data.columns.group"
    if len(both) > 1:
        message = f"{spec.evaluation.group_column!r} here, and {spec.data.columns.group!r} in data.columns.group"
        yield Problem(message, path, "name the column of the groups once")
    if both and spec.task in _WITHOUT_GROUPS:
        message = f"{spec.task} has no metrics by group: rows are cut into stretches of text"
        others = ", ".join(task for task in Task if task not in _WITHOUT_GROUPS)
        yield Problem(message, path, f"remove it; it is for {others}")


def retention_columns(spec: Spec) -> Columns:
    """Columns of the retention set."""
    retention = spec.evaluation.retention
    same = retention.task in (None, spec.task)
    return retention.columns or (spec.data.columns if same else Columns())
