"""Consistency of a spec with its data, once problem type and labels are known: `Auto` resolved. Pure."""

from collections.abc import Iterator

from finetune_api.checks.no_effect import pair_shape_problems, shape_problems
from finetune_api.checks.semantic import semantic_problems
from finetune_api.data import RowOrder
from finetune_api.data_report import DataReport
from finetune_api.failures import Problem, SpecInvalid
from finetune_api.spec import Spec
from finetune_api.tasks import ProblemType, Task


def check_agreement(spec: Spec, data: DataReport) -> None:
    """Check the spec again with the problem type and the labels found in the data.

    Raises `SpecInvalid`, for example for a gate on `accuracy` where the labels are numbers to predict, or for
    groups of rows that are joined to blocks of text.
    """
    if spec.task is Task.CAUSAL_LM and {"text", "group"} <= data.columns.keys():
        message, hint = "raw text is cut into blocks, which have no group", "remove it, or give prompts and completions"
        raise SpecInvalid(message, where="spec.evaluation.groupColumn", hint=hint)
    if spec.task is Task.CAUSAL_LM and "text" in data.columns and spec.data.order is RowOrder.EASY_FIRST:
        message, hint = "raw text is cut into stretches of one length: none is easier", "use Shuffled or AsGiven"
        raise SpecInvalid(message, where="spec.data.order", hint=hint)
    if spec.task is Task.CAUSAL_LM and "text" in data.columns and spec.evaluation.few_shot.examples:
        message, hint = "raw text has no answers to show as examples", "remove it, or give prompts and completions"
        raise SpecInvalid(message, where="spec.evaluation.fewShot.examples", hint=hint)
    unread = list(_unread_columns(spec, data))
    if unread:
        raise SpecInvalid(*unread)
    unused = [*shape_problems(spec, data.columns), *pair_shape_problems(spec, data.columns)]
    if unused:
        raise SpecInvalid(*unused)
    policy = spec.training.policy
    if policy is not None and policy.reward.is_checked and not {"completion", "messages"} & data.columns.keys():
        message = f"reward {policy.reward.type} needs the expected answers, and the rows have no column for them"
        hint = "name it, or use a reward model: training.policy.reward.type: Model"
        raise SpecInvalid(message, where="spec.data.columns.completion", hint=hint)
    if not data.label_names and not data.problem_type:
        return
    problem = ProblemType(data.problem_type) if data.problem_type else spec.data.labels.problem_type
    found = {"problem_type": problem, "names": data.label_names}
    labels = spec.data.labels.model_copy(update=found)
    known = spec.model_copy(update={"data": spec.data.model_copy(update={"labels": labels})})
    problems = semantic_problems(known)
    if problems:
        raise SpecInvalid(*problems)


def _unread_columns(spec: Spec, data: DataReport) -> Iterator[Problem]:
    """Yield a problem for each column that the job names and that rows of this layout have no use for."""
    if spec.task is not Task.CAUSAL_LM or "text" not in data.columns:
        return
    for role in ("input", "system", "history", "tools"):
        column = getattr(spec.data.columns, role)
        if column:
            message = f"the column {column!r} goes with prompts, and the rows are raw text, of {data.columns['text']!r}"
            yield Problem(message, f"spec.data.columns.{role}", "remove it, or name columns.prompt and completion")
